/* A hidden C node on libei. It ends with 0, or with 1 and a sentence about what is not as it should be.
 *
 *   ei_peer calls  NODE OWN_NAME         asks NODE in every way that libei has
 *   ei_peer ticks  NODE OWN_NAME COUNT   answers COUNT ticks in silence, then asks again
 *   ei_peer accept NODE OWN_NAME         is dialled by NODE and asks it over that connection
 */
#include <arpa/inet.h>
#include <ei.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static ei_cnode ec;
static const char *node;
static int fd;

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ei_peer: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (erl_errno %d)\n", erl_errno);
    va_end(arguments);
    exit(1);
}

/* The cookie comes from ~/.erlang.cookie. */
static void be_node(const char *name)
{
    char alive[MAXNODELEN + 1];
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    snprintf(alive, sizeof alive, "%.*s", (int)strcspn(name, "@"), name);
    if (ei_init() != 0 || ei_connect_xinit(&ec, "127.0.0.1", alive, name, &loopback, NULL, 1) < 0)
        die("cannot be the node %s", name);
}

static void expect_text(const char *what, const ei_x_buff *term, int index, const char *expected)
{
    char *text = NULL;
    if (ei_s_print_term(&text, term->buff, &index) < 0)
        die("%s: an answer that cannot be printed", what);
    if (strcmp(text, expected) != 0)
        die("%s: %s instead of %s", what, text, expected);
    free(text);
}

/* ei_rpc with arguments as ei_x_format_wo_ver has them; the answer must print as expected. */
static void rpc(char *module, char *function, const char *arguments, const char *expected)
{
    ei_x_buff args, answer;
    ei_x_new(&args);
    ei_x_new(&answer);
    if (ei_x_format_wo_ver(&args, arguments) < 0)
        die("bad arguments %s", arguments);
    if (ei_rpc(&ec, fd, module, function, args.buff, args.index, &answer) < 0)
        die("ei_rpc of %s:%s fails", module, function);
    expect_text(function, &answer, 0, expected);
    ei_x_free(&args);
    ei_x_free(&answer);
}

/* The status is a map in which `node` is the node that we asked. */
static void check_status(const char *buffer, int index)
{
    int pairs, is_there = 0;
    if (ei_decode_map_header(buffer, &index, &pairs) < 0)
        die("the status is no map");
    for (; pairs > 0; pairs--) {
        char key[MAXATOMLEN_UTF8], value[MAXATOMLEN_UTF8];
        if (ei_decode_atom(buffer, &index, key) < 0)
            die("a key of the status is no atom");
        if (strcmp(key, "node") != 0) {
            if (ei_skip_term(buffer, &index) < 0)
                die("libei cannot read the value of %s", key);
        } else if (ei_decode_atom(buffer, &index, value) < 0 || strcmp(value, node) != 0) {
            die("the status is of another node");
        } else {
            is_there = 1;
        }
    }
    if (!is_there)
        die("the status has no node");
}

static void rpc_status(void)
{
    ei_x_buff args, answer;
    ei_x_new(&args);
    ei_x_new(&answer);
    ei_x_encode_empty_list(&args);
    if (ei_rpc(&ec, fd, "route_manager", "status", args.buff, args.index, &answer) < 0)
        die("ei_rpc of route_manager:status fails");
    check_status(answer.buff, 0);
    ei_x_free(&args);
    ei_x_free(&answer);
}

/* The next message; ticks in between are answered by libei. */
static void receive(erlang_msg *message, ei_x_buff *term)
{
    int got;
    do {
        term->index = 0;
        got = ei_xreceive_msg_tmo(fd, message, term, PATIENCE_MS);
    } while (got == ERL_TICK);
    if (got != ERL_MSG)
        die("no message comes");
}

/* gen_server:call(route_manager, status), by hand. */
static void gen_call(void)
{
    ei_x_buff call, reply;
    erlang_msg message;
    erlang_ref tag, answered;
    int index = 0, version, arity;
    if (ei_make_ref(&ec, &tag) != 0)
        die("no reference");
    ei_x_new_with_version(&call);
    ei_x_encode_tuple_header(&call, 3);
    ei_x_encode_atom(&call, "$gen_call");
    ei_x_encode_tuple_header(&call, 2);
    ei_x_encode_pid(&call, ei_self(&ec));
    ei_x_encode_ref(&call, &tag);
    ei_x_encode_atom(&call, "status");
    if (ei_reg_send(&ec, fd, "route_manager", call.buff, call.index) < 0)
        die("ei_reg_send fails");
    ei_x_new(&reply);
    receive(&message, &reply);
    if (message.msgtype != ERL_SEND)
        die("message type %ld instead of ERL_SEND", message.msgtype);
    if (ei_decode_version(reply.buff, &index, &version) < 0 || ei_decode_tuple_header(reply.buff, &index, &arity) < 0
        || arity != 2 || ei_decode_ref(reply.buff, &index, &answered) < 0)
        die("the reply is not {Ref, Reply}");
    if (ei_cmp_refs(&tag, &answered) != 0)
        die("the reply bears another reference");
    check_status(reply.buff, index);
    ei_x_free(&call);
    ei_x_free(&reply);
}

static void calls(void)
{
    char quoted[MAXNODELEN + 3];
    snprintf(quoted, sizeof quoted, "'%s'", node);
    rpc("erlang", "node", "[]", quoted);
    rpc_status();
    gen_call();
    rpc("route_manager", "set_route", "[eth0, [{{192,168,1,50},24}], {192,168,1,1}]", "ok");
    rpc("route_manager", "clear_route", "[{}]",
        "{badrpc, {'EXIT', {badarg, [{route_manager, clear_route, [{}], []}]}}}");
    rpc("os", "cmd", "[id]", "{badrpc, {'EXIT', {undef, [{os, cmd, [id], []}]}}}");
    gen_call();
}

static void ticks(int count)
{
    ei_x_buff term;
    erlang_msg message;
    ei_x_new(&term);
    for (; count > 0; count--) {
        int got = ei_xreceive_msg_tmo(fd, &message, &term, PATIENCE_MS);
        if (got == ERL_MSG)
            die("a message that nobody asked for");
        if (got != ERL_TICK)
            die("%d ticks before the end the connection is lost", count);
    }
    ei_x_free(&term);
    gen_call();
}

static void accept_from_node(void)
{
    ErlConnect peer;
    int port = 0;
    int listener = ei_listen(&ec, &port, 5);
    if (listener < 0 || ei_publish(&ec, port) < 0)
        die("cannot listen and publish");
    puts("published");
    fflush(stdout);
    fd = ei_accept_tmo(&ec, listener, &peer, PATIENCE_MS);
    if (fd < 0)
        die("nobody connects");
    if (strcmp(peer.nodename, node) != 0)
        die("%s connects instead of %s", peer.nodename, node);
    gen_call();
    puts("answered");
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: ei_peer calls|ticks|accept NODE OWN_NAME [COUNT]");
    alarm(60);
    node = argv[2];
    be_node(argv[3]);
    if (strcmp(argv[1], "accept") == 0) {
        accept_from_node();
        return 0;
    }
    fd = ei_connect_tmo(&ec, (char *)node, PATIENCE_MS);
    if (fd < 0)
        die("cannot connect to %s", node);
    if (strcmp(argv[1], "ticks") == 0)
        ticks(argc > 4 ? atoi(argv[4]) : 1);
    else
        calls();
    return 0;
}
