/* The `ei` peer of `scripts/bench calls`: erl_interface's own C node, one thread, poll(2), every call decoded by ei and
 * answered with `ok`. Usage: ei_peer NAME HOST COOKIE [EPMD]; prints its port. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ei.h"

enum { PEERS = 512 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* {'$gen_call', {Pid, Tag}, {set_connection_status, Name, Status}} */
static int answer(ei_cnode *node, int fd, ei_x_buff *in, ei_x_buff *out)
{
    int index = 0, version, arity, from, start, type, size;
    char atom[MAXATOMLEN_UTF8], name[64];
    long length;
    erlang_pid pid;
    (void)node;
    if (ei_decode_version(in->buff, &index, &version) || ei_decode_tuple_header(in->buff, &index, &arity) || arity != 3
        || ei_decode_atom(in->buff, &index, atom) || strcmp(atom, "$gen_call"))
        return 0;
    from = index;
    if (ei_decode_tuple_header(in->buff, &index, &arity) || arity != 2 || ei_decode_pid(in->buff, &index, &pid))
        return 0;
    start = index;
    if (ei_skip_term(in->buff, &index))
        return 0;
    (void)from;
    out->index = 0;
    ei_x_encode_version(out);
    ei_x_encode_tuple_header(out, 2);
    ei_x_append_buf(out, in->buff + start, index - start);
    if (ei_decode_tuple_header(in->buff, &index, &arity) || arity != 3 || ei_decode_atom(in->buff, &index, atom)
        || strcmp(atom, "set_connection_status") || ei_get_type(in->buff, &index, &type, &size)
        || size >= (int)sizeof(name) || ei_decode_binary(in->buff, &index, name, &length)
        || ei_decode_atom(in->buff, &index, atom) || strcmp(atom, "internet"))
        return 0;
    ei_x_encode_atom(out, "ok");
    return ei_send(fd, &pid, out->buff, out->index);
}

int main(int argc, char **argv)
{
    struct pollfd peers[PEERS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    char full[256];
    ei_cnode node;
    ei_x_buff in, out;
    int count = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 4)
        return 2;
    ei_init();
    snprintf(full, sizeof full, "%s@%s", argv[1], argv[2]);
    if (ei_connect_xinit(&node, argv[2], argv[1], full, &loopback, argv[3], 1) < 0)
        die("ei_connect_xinit");
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128)
        || getsockname(listener, (struct sockaddr *)&address, &length))
        die("listen");
    if (argc > 4 && ei_publish(&node, ntohs(address.sin_port)) < 0)
        die("ei_publish");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    peers[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    ei_x_new(&in);
    ei_x_new(&out);
    for (;;) {
        int i, known = count;
        if (poll(peers, count, -1) < 0)
            die("poll");
        if (peers[0].revents && count < PEERS) {
            ErlConnect peer;
            int fd = ei_accept(&node, listener, &peer);
            if (fd >= 0)
                peers[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        for (i = known - 1; i > 0; i--) {
            erlang_msg message;
            int got;
            if (!peers[i].revents)
                continue;
            in.index = 0;
            got = ei_xreceive_msg(peers[i].fd, &message, &in);
            if (got == ERL_MSG && (message.msgtype == ERL_REG_SEND || message.msgtype == ERL_SEND))
                got = answer(&node, peers[i].fd, &in, &out);
            if (got < 0) {
                close(peers[i].fd);
                peers[i] = peers[--count];
            }
        }
    }
}
