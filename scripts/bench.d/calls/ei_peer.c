/* The `ei` peer of `scripts/bench`: erl_interface's own C node, one thread, poll(2), every call decoded by ei and
 * answered with `ok`, every cast decoded as well. It knows no monitors. Usage: ei_peer NAME HOST [epmd]; prints its port. The
 * cookie is in BEAMROUTE_COOKIE. */
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

/* {set_connection_status, Name, internet} */
static int is_understood(ei_x_buff *in, int *index)
{
    int arity, type, size;
    char atom[MAXATOMLEN_UTF8], name[64];
    long length;
    return !ei_decode_tuple_header(in->buff, index, &arity) && arity == 3 && !ei_decode_atom(in->buff, index, atom)
        && !strcmp(atom, "set_connection_status") && !ei_get_type(in->buff, index, &type, &size)
        && size < (int)sizeof(name) && !ei_decode_binary(in->buff, index, name, &length)
        && !ei_decode_atom(in->buff, index, atom) && !strcmp(atom, "internet");
}

/* {'$gen_call', {Pid, Tag}, Request} or {'$gen_cast', Request} */
static int answer(int fd, ei_x_buff *in, ei_x_buff *out)
{
    int index = 0, version, arity, start;
    char atom[MAXATOMLEN_UTF8];
    erlang_pid pid;
    if (ei_decode_version(in->buff, &index, &version) || ei_decode_tuple_header(in->buff, &index, &arity)
        || ei_decode_atom(in->buff, &index, atom))
        return 0;
    if (arity == 2 && !strcmp(atom, "$gen_cast"))
        return is_understood(in, &index) ? 0 : -1;
    if (arity != 3 || strcmp(atom, "$gen_call") || ei_decode_tuple_header(in->buff, &index, &arity) || arity != 2
        || ei_decode_pid(in->buff, &index, &pid))
        return 0;
    start = index;
    if (ei_skip_term(in->buff, &index))
        return 0;
    out->index = 0;
    ei_x_encode_version(out);
    ei_x_encode_tuple_header(out, 2);
    ei_x_append_buf(out, in->buff + start, index - start);
    if (!is_understood(in, &index))
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
    const char *cookie = getenv("BEAMROUTE_COOKIE");
    char full[256];
    ei_cnode node;
    ei_x_buff in, out;
    int count = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 3 || !cookie)
        return 2;
    ei_init();
    snprintf(full, sizeof full, "%s@%s", argv[1], argv[2]);
    if (ei_connect_xinit(&node, argv[2], argv[1], full, &loopback, cookie, 1) < 0)
        die("ei_connect_xinit");
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128)
        || getsockname(listener, (struct sockaddr *)&address, &length))
        die("listen");
    if (argc > 3 && ei_publish(&node, ntohs(address.sin_port)) < 0)
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
                got = answer(peers[i].fd, &in, &out);
            if (got < 0) {
                close(peers[i].fd);
                peers[i] = peers[--count];
            }
        }
    }
}
