/*
 * Between the daemon and its C library: what no test can do to a running process from outside without doing it to the
 * whole machine. The test compiles it and gives it to the daemon as LD_PRELOAD; a small file that both have mapped
 * says what is to go wrong next.
 *
 * - The clocks: to step the machine's own would hurt everybody on it. CLOCK_MONOTONIC only ever leaps forward, as after a
 *   virtual machine was held.
 * - Error numbers of the system calls on netlink sockets, as of a full table of buffers, a security module or a signal.
 * - EPERM of the kernel itself, in the answer to a request: nobody can take CAP_NET_ADMIN from another process. So it is
 *   taken out of the thread's effective set for one system call; what the kernel then says is its own.
 * - NLM_F_DUMP_INTR, which the kernel sets when a table changes during its dump: a race of microseconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As in shim.rs. */
struct fault {
    _Atomic int32_t skip, count, error;
};
static struct control {
    _Atomic int64_t realtime_ns, monotonic_ns;
    struct fault send, receive;
    _Atomic int32_t powerless, interrupted;
    /* What was done: failed sends, failed receptions, sends without the capability, dumps marked. */
    _Atomic int32_t done[4];
    /* Clocks that were asked for and are neither of the two, one bit each. */
    _Atomic int32_t other_clocks;
} nothing, *control = &nothing;

static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);

__attribute__((constructor)) static void begin(void)
{
    real_send = dlsym(RTLD_NEXT, "send");
    real_sendto = dlsym(RTLD_NEXT, "sendto");
    real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    real_recv = dlsym(RTLD_NEXT, "recv");
    real_recvfrom = dlsym(RTLD_NEXT, "recvfrom");
    real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    control = map;
    close(fd);
}

static int is_netlink(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK;
}

/* Whether this call is one that has to fail; errno then says how. */
static int fails(struct fault *fault, int fd, int kind)
{
    int before = errno;
    if (fault->count <= 0 || !is_netlink(fd)) {
        errno = before;
        return 0;
    }
    if (fault->skip > 0) {
        fault->skip--;
        return 0;
    }
    fault->count--;
    control->done[kind]++;
    errno = fault->error;
    return 1;
}

static int take_power(int fd, struct __user_cap_data_struct *before)
{
    if (control->powerless <= 0 || !is_netlink(fd))
        return 0;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    if (syscall(SYS_capget, &header, before))
        abort();
    struct __user_cap_data_struct without[2] = {before[0], before[1]};
    without[0].effective &= ~(1u << CAP_NET_ADMIN);
    if (syscall(SYS_capset, &header, without))
        abort();
    control->powerless--;
    control->done[2]++;
    return 1;
}

static void give_power_back(struct __user_cap_data_struct *before)
{
    int result = errno;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    if (syscall(SYS_capset, &header, before))
        abort();
    errno = result;
}

#define SENDING(call)                                     \
    struct __user_cap_data_struct before[2];              \
    if (fails(&control->send, fd, 0))                     \
        return -1;                                        \
    int is_powerless = take_power(fd, before);            \
    ssize_t sent = call;                                  \
    if (is_powerless)                                     \
        give_power_back(before);                          \
    return sent;

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    SENDING(real_send(fd, buf, len, flags))
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
    SENDING(real_sendto(fd, buf, len, flags, to, to_len))
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    SENDING(real_sendmsg(fd, msg, flags))
}

/* Marks what belongs to a dump as interrupted. */
static void interrupt(int fd, void *buf, ssize_t received, size_t size)
{
    if (received <= 0 || control->interrupted <= 0 || !is_netlink(fd))
        return;
    int left = (size_t)received < size ? received : (ssize_t)size;
    int was_dump = 0;
    for (struct nlmsghdr *h = buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_flags & NLM_F_MULTI) {
            h->nlmsg_flags |= NLM_F_DUMP_INTR;
            was_dump = 1;
        }
    }
    if (was_dump) {
        control->interrupted--;
        control->done[3]++;
    }
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    if (fails(&control->receive, fd, 1))
        return -1;
    ssize_t received = real_recv(fd, buf, len, flags);
    interrupt(fd, buf, received, len);
    return received;
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
    if (fails(&control->receive, fd, 1))
        return -1;
    ssize_t received = real_recvfrom(fd, buf, len, flags, from, from_len);
    interrupt(fd, buf, received, len);
    return received;
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    if (fails(&control->receive, fd, 1))
        return -1;
    ssize_t received = real_recvmsg(fd, msg, flags);
    if (received > 0 && msg->msg_iovlen == 1)
        interrupt(fd, msg->msg_iov[0].iov_base, received, msg->msg_iov[0].iov_len);
    return received;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (syscall(SYS_clock_gettime, clock, time))
        return -1;
    int64_t offset = 0;
    if (clock == CLOCK_REALTIME)
        offset = control->realtime_ns;
    else if (clock == CLOCK_MONOTONIC)
        offset = control->monotonic_ns;
    else
        control->other_clocks |= 1 << (clock & 31);
    int64_t ns = time->tv_nsec + offset % 1000000000;
    time->tv_sec += offset / 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        time->tv_sec--;
    } else if (ns >= 1000000000) {
        ns -= 1000000000;
        time->tv_sec++;
    }
    time->tv_nsec = ns;
    return 0;
}
