//! The only place with `AF_NETLINK`.
