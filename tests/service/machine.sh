# Made into process 1 of its own namespaces by machine.rs: $1 is a new directory, $2 the root directory of a Debian, $3 the
# repository. Everything that is written goes to memory; /sys and /proc/sys are read-only. If $2 is that of this machine,
# none of its units is there, nor what may be left of the package.
set -e
work=$1 system=$2 repository=${3%/}
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
root=$work/root
mkdir "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=$system,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mkdir -p "$root$repository"
mount --bind "$repository" "$root$repository"
mount -o remount,ro,bind "$root$repository"
target=multi-user.target
if [ "$system" = / ]; then
    target=machine.target
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/lib/systemd/system"
    mount -t tmpfs tmpfs "$root/etc/systemd"
    mkdir "$root/etc/systemd/system"
    for unit in machine sysinit basic shutdown network-pre network network-online; do
        printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n' >"$root/etc/systemd/system/$unit.target"
    done
    # Nor what keeps packages from starting services.
    rm -rf "$root/etc/beamroute" "$root/usr/sbin/policy-rc.d"
else
    # All that it starts is on it: none of this machine's terminals, nor the kernel's log.
    mount -t tmpfs tmpfs "$root/dev"
    for device in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
    done
    mknod -m 666 "$root/dev/tty" c 5 0
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
fi
ip link set lo up
ip link add eth0 type veth peer name far
ip addr add 192.168.1.50/24 dev eth0
ip link set eth0 up
ip link set far up
ip link add wlan0 type veth peer name farther
ip addr add 10.0.0.50/24 dev wlan0
ip link set wlan0 up
ip link set farther up
# As process 1 has it on a machine; credentials are mounted by a child.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" \
    /lib/systemd/systemd --system --unit=$target --log-target=console --show-status=no
