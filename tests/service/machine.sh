# Made into process 1 of its own namespaces by machine.rs: $1 is a new directory, $2 the daemon, $3 the unit. Everything
# that is written goes to memory; of the machine's units none is there; /sys and /proc/sys are read-only.
set -e
work=$1 daemon=$2 unit=$3
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
root=$work/root
mkdir "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -t tmpfs tmpfs "$root/lib/systemd/system"
mount -t tmpfs tmpfs "$root/etc/systemd"
units=$root/etc/systemd/system
mkdir -p "$units/beamroute.service.d" "$root/etc/beamroute"
for target in machine sysinit basic shutdown network-pre network network-online; do
    printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n' >"$units/$target.target"
done
cp "$unit" "$units/beamroute.service"
cp "$daemon" "$root/usr/bin/beamroute"
rm -f "$root/etc/beamroute/"*
ip link set lo up
ip link add eth0 type veth peer name far
ip addr add 192.168.1.50/24 dev eth0
ip link set eth0 up
ip link set far up
# As process 1 has it on a machine; credentials are mounted by a child.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" \
    /lib/systemd/systemd --system --unit=machine.target --log-target=console --show-status=no
