/* The least that anybody can do: the netlink messages that beamroute sends, made in advance, sent in batches, and their
 * acknowledgements read. Runs in the network namespace of the interfaces e0, e1, ... with addresses 10.H.L.2/24.
 *
 *   raw apply N       adds and takes away the routes of N interfaces; prints the microseconds of the former
 *   raw failover K P  K times a new metric for e0's two routes in main, P microseconds apart; prints the median in microseconds
 *   raw heal N K      sets eN down and up K times, puts its routes back on the link's event; prints as `watch` does
 *   raw watch N K     sets eN down and up K times; prints the median time from the link's event to its default route in main
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WATCHER_CPU, HEALER_CPU };
enum { PROTOCOL = 110, PRIORITY = 30000, CHUNK = 128, TABLE = 100 };

/* What an interface of that name has as lan. */
#define METRIC(n) (80 + (n) % 10)

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n) {
    qsort(values, n, sizeof *values, by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static int open_route(unsigned groups) {
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), one = 1, bytes = 4 << 20;
    struct sockaddr_nl us = { .nl_family = AF_NETLINK, .nl_groups = groups };
    if (fd < 0 || bind(fd, (struct sockaddr *)&us, sizeof us)) die("netlink");
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    return fd;
}

struct message {
    struct nlmsghdr header;
    char body[112];
};

static void attribute(struct message *m, unsigned short type, const void *value, unsigned short len) {
    struct rtattr *a = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));
    a->rta_type = type;
    a->rta_len = RTA_LENGTH(len);
    memcpy(RTA_DATA(a), value, len);
    m->header.nlmsg_len = NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static void number(struct message *m, unsigned short type, uint32_t value) { attribute(m, type, &value, 4); }

/* The interface's own network (host < 0), or the default route over host. */
static struct message route(int type, int n, int ifindex, uint32_t table, uint32_t metric, int host, int protocol) {
    struct message m = { .header = { .nlmsg_type = type } };
    struct rtmsg *r = (struct rtmsg *)m.body;
    uint8_t net[4] = { 10, n >> 8, n & 255, 0 }, source[4] = { 10, n >> 8, n & 255, 2 }, gateway[4] = { 10, n >> 8, n & 255, 1 };
    m.header.nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_APPEND : 0);
    m.header.nlmsg_len = NLMSG_LENGTH(sizeof *r);
    r->rtm_family = AF_INET;
    r->rtm_protocol = protocol;
    r->rtm_type = RTN_UNICAST;
    r->rtm_scope = host < 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    number(&m, RTA_TABLE, table);
    number(&m, RTA_OIF, ifindex);
    if (metric) number(&m, RTA_PRIORITY, metric);
    if (host < 0) {
        r->rtm_dst_len = 24;
        attribute(&m, RTA_DST, net, 4);
        attribute(&m, RTA_PREFSRC, source, 4);
    } else {
        gateway[3] = host;
        attribute(&m, RTA_GATEWAY, gateway, 4);
    }
    return m;
}

static struct message rule(int type, int n) {
    struct message m = { .header = { .nlmsg_type = type } };
    struct fib_rule_hdr *r = (struct fib_rule_hdr *)m.body;
    uint8_t source[4] = { 10, n >> 8, n & 255, 2 }, protocol = PROTOCOL;
    m.header.nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
    m.header.nlmsg_len = NLMSG_LENGTH(sizeof *r);
    r->family = AF_INET;
    r->src_len = 32;
    r->action = FR_ACT_TO_TBL;
    attribute(&m, FRA_SRC, source, 4);
    number(&m, FRA_TABLE, TABLE + 200 + n);
    number(&m, FRA_PRIORITY, PRIORITY);
    attribute(&m, FRA_PROTOCOL, &protocol, 1);
    return m;
}

/* Sends n messages in chunks and reads each chunk's acknowledgement; any error ends the program. */
static void send_all(int fd, struct message *messages, int n) {
    static char out[CHUNK * sizeof(struct message)], in[1 << 16];
    for (int from = 0; from < n; from += CHUNK) {
        int count = n - from < CHUNK ? n - from : CHUNK;
        size_t len = 0;
        for (int i = 0; i < count; i++) {
            struct nlmsghdr *h = &messages[from + i].header;
            h->nlmsg_seq = from + i + 1;
            if (i == count - 1) h->nlmsg_flags |= NLM_F_ACK;
            memcpy(out + len, h, h->nlmsg_len);
            len += NLMSG_ALIGN(h->nlmsg_len);
        }
        if (send(fd, out, len, 0) < 0) die("send");
        for (int done = 0; !done;) {
            int got = recv(fd, in, sizeof in, 0);
            if (got < 0) die("recv");
            for (struct nlmsghdr *h = (struct nlmsghdr *)in; NLMSG_OK(h, (unsigned)got); h = NLMSG_NEXT(h, got)) {
                struct nlmsgerr *e = NLMSG_DATA(h);
                if (h->nlmsg_type == NLMSG_ERROR && e->error) errno = -e->error, die("refused");
                done |= h->nlmsg_seq == (unsigned)(from + count);
            }
        }
    }
}

static int index_of(int n) {
    char name[16];
    snprintf(name, sizeof name, "e%d", n);
    int index = if_nametoindex(name);
    if (!index) die(name);
    return index;
}

static void apply(int n) {
    int fd = open_route(0);
    struct message *add = calloc(5 * n, sizeof *add), *del = calloc(n, sizeof *del), *back = calloc(n, sizeof *back);
    struct message *away = calloc(5 * n, sizeof *away);
    for (int i = 0; i < n; i++) {
        int index = index_of(i), table = TABLE + 200 + i;
        /* In the daemon's order: all rules, then all routes of a kind. */
        add[i] = rule(RTM_NEWRULE, i);
        add[n + i] = route(RTM_NEWROUTE, i, index, table, 0, -1, PROTOCOL);
        add[2 * n + i] = route(RTM_NEWROUTE, i, index, RT_TABLE_MAIN, METRIC(i), -1, PROTOCOL);
        add[3 * n + i] = route(RTM_NEWROUTE, i, index, table, 0, 1, PROTOCOL);
        add[4 * n + i] = route(RTM_NEWROUTE, i, index, RT_TABLE_MAIN, METRIC(i), 1, PROTOCOL);
        del[i] = route(RTM_DELROUTE, i, index, RT_TABLE_MAIN, 0, -1, RTPROT_KERNEL);
        back[i] = route(RTM_NEWROUTE, i, index, RT_TABLE_MAIN, 0, -1, RTPROT_KERNEL);
        away[i] = rule(RTM_DELRULE, i);
        away[n + i] = route(RTM_DELROUTE, i, index, table, 0, 1, PROTOCOL);
        away[2 * n + i] = route(RTM_DELROUTE, i, index, RT_TABLE_MAIN, METRIC(i), 1, PROTOCOL);
        away[3 * n + i] = route(RTM_DELROUTE, i, index, table, 0, -1, PROTOCOL);
        away[4 * n + i] = route(RTM_DELROUTE, i, index, RT_TABLE_MAIN, METRIC(i), -1, PROTOCOL);
    }
    double start = now();
    send_all(fd, add, 5 * n);
    send_all(fd, del, n);
    printf("%.1f\n", now() - start);
    send_all(fd, back, n);
    send_all(fd, away, 5 * n);
}

static void failover(int times, int pause) {
    int fd = open_route(0), index = index_of(0);
    double *took = calloc(times, sizeof *took);
    uint32_t metrics[2] = { 51, 11 };
    struct message first[2] = {
        route(RTM_NEWROUTE, 0, index, RT_TABLE_MAIN, metrics[0], -1, PROTOCOL),
        route(RTM_NEWROUTE, 0, index, RT_TABLE_MAIN, metrics[0], 1, PROTOCOL),
    };
    send_all(fd, first, 2);
    for (int i = 0; i < times; i++) {
        uint32_t old = metrics[i % 2], new = metrics[(i + 1) % 2];
        struct message add[2] = {
            route(RTM_NEWROUTE, 0, index, RT_TABLE_MAIN, new, -1, PROTOCOL),
            route(RTM_NEWROUTE, 0, index, RT_TABLE_MAIN, new, 1, PROTOCOL),
        };
        struct message del[2] = {
            route(RTM_DELROUTE, 0, index, RT_TABLE_MAIN, old, 1, PROTOCOL),
            route(RTM_DELROUTE, 0, index, RT_TABLE_MAIN, old, -1, PROTOCOL),
        };
        if (pause) usleep(pause);
        double start = now();
        send_all(fd, add, 2);
        send_all(fd, del, 2);
        took[i] = now() - start;
    }
    for (int i = 0; i < 2; i++) {
        struct message del = route(RTM_DELROUTE, 0, index, RT_TABLE_MAIN, metrics[times % 2], i ? -1 : 1, PROTOCOL);
        send_all(fd, &del, 1);
    }
    printf("%.1f\n", median(took, times));
}

static void set_up(int n, int up) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request;
    memset(&request, 0, sizeof request);
    snprintf(request.ifr_name, sizeof request.ifr_name, "e%d", n);
    if (ioctl(fd, SIOCGIFFLAGS, &request)) die("flags");
    request.ifr_flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request)) die("flags");
    close(fd);
}

/* Runs on one processor only. */
static void stay_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* Puts the routes of its interface back whenever that comes up. */
static void *healer(void *argument) {
    int n = *(int *)argument, index = index_of(n), table = TABLE + 200 + n;
    stay_on(HEALER_CPU);
    int fd = open_route(0), monitor = open_route(RTMGRP_LINK), was_up = 1;
    char in[1 << 16];
    struct message add[4] = {
        route(RTM_NEWROUTE, n, index, table, 0, -1, PROTOCOL),
        route(RTM_NEWROUTE, n, index, RT_TABLE_MAIN, METRIC(n), -1, PROTOCOL),
        route(RTM_NEWROUTE, n, index, table, 0, 1, PROTOCOL),
        route(RTM_NEWROUTE, n, index, RT_TABLE_MAIN, METRIC(n), 1, PROTOCOL),
    };
    struct message del = route(RTM_DELROUTE, n, index, RT_TABLE_MAIN, 0, -1, RTPROT_KERNEL);
    for (;;) {
        int got = recv(monitor, in, sizeof in, 0);
        for (struct nlmsghdr *h = (struct nlmsghdr *)in; got > 0 && NLMSG_OK(h, (unsigned)got); h = NLMSG_NEXT(h, got)) {
            struct ifinfomsg *link = NLMSG_DATA(h);
            if (h->nlmsg_type != RTM_NEWLINK || link->ifi_index != index) continue;
            int is_up = !!(link->ifi_flags & IFF_UP);
            if (is_up && !was_up) {
                send_all(fd, add, 4);
                send_all(fd, &del, 1);
            }
            was_up = is_up;
        }
    }
    return NULL;
}

/* The link is set by a process of its own, on the healer's processor; who watches is awake on the other all the time, so
 * that neither the setting nor its own waking up is in what is measured. */
static void watch(int n, int times) {
    int monitor = open_route(RTMGRP_LINK | RTMGRP_IPV4_ROUTE), index = index_of(n), orders[2];
    double *took = calloc(times, sizeof *took);
    char in[1 << 16], order;
    if (pipe(orders)) die("pipe");
    pid_t setter = fork();
    if (!setter) {
        stay_on(HEALER_CPU);
        close(orders[1]);
        while (read(orders[0], &order, 1) == 1) set_up(n, order);
        _exit(0);
    }
    stay_on(WATCHER_CPU);
    for (int i = 0; i < times; i++) {
        if (write(orders[1], &(char){ 0 }, 1) != 1) die("write");
        usleep(20000);
        while (recv(monitor, in, sizeof in, MSG_DONTWAIT) > 0) {}
        if (write(orders[1], &(char){ 1 }, 1) != 1) die("write");
        double up = 0, healed = 0;
        while (!healed) {
            int got = recv(monitor, in, sizeof in, MSG_DONTWAIT);
            for (struct nlmsghdr *h = (struct nlmsghdr *)in; got > 0 && NLMSG_OK(h, (unsigned)got); h = NLMSG_NEXT(h, got)) {
                struct ifinfomsg *link = NLMSG_DATA(h);
                struct rtmsg *r = NLMSG_DATA(h);
                if (h->nlmsg_type == RTM_NEWLINK && link->ifi_index == index && link->ifi_flags & IFF_UP && !up) up = now();
                if (h->nlmsg_type == RTM_NEWROUTE && up && r->rtm_dst_len == 0 && r->rtm_table == RT_TABLE_MAIN) healed = now();
            }
        }
        took[i] = healed - up;
        usleep(20000);
    }
    close(orders[1]);
    waitpid(setter, NULL, 0);
    printf("%.1f\n", median(took, times));
}

int main(int argc, char **argv) {
    int first = argc > 2 ? atoi(argv[2]) : 0, second = argc > 3 ? atoi(argv[3]) : 0;
    if (argc == 3 && !strcmp(argv[1], "apply")) apply(first);
    else if (argc == 4 && !strcmp(argv[1], "failover")) failover(first, second);
    else if (argc == 4 && !strcmp(argv[1], "watch")) watch(first, second);
    else if (argc == 4 && !strcmp(argv[1], "heal")) {
        pthread_t thread;
        pthread_create(&thread, NULL, healer, &first);
        usleep(50000);
        watch(first, second);
    } else return fprintf(stderr, "usage: raw apply N | failover K P | watch N K | heal N K\n"), 2;
    return 0;
}
