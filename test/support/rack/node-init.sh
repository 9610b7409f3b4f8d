#!/bin/sh
# PID 1 of a box or a host. Turns this machine's file system into the node's own, brings its network up, starts its
# programs and buries the dead. Called with the node's settings in the environment (node.ts).
set -eu

# /proc is still the machine's: field 1 is this process's id out there, which is the node's power button.
read -r pid rest </proc/self/stat
echo "$pid" >"$RUN_DIRECTORY/pid"
exec 9>"$RUN_DIRECTORY/booted"

hostname "$NODE"
mount --make-rprivate /
# A copy of these mounts would keep the namespaces of others alive after they are removed.
while umount -l /run/netns 2>/dev/null; do :; done

# One memory file system holds all that must be new after each boot. It is made beside, and laid over the machine's
# directories at the end: the repository or the node's data may be below one of them.
stage=$RUN_DIRECTORY/stage
mkdir -p "$stage"
mount -t tmpfs -o mode=0755 tmpfs "$stage"
mkdir -p "$stage/run/lock" "$stage/run/one" "$stage/run/rack" "$stage/tmp" "$stage/var-tmp" "$stage/root" "$stage/dev/net" "$stage/dev/pts" "$stage/dev/shm"
chmod 1777 "$stage/tmp" "$stage/var-tmp" "$stage/dev/shm"
cp -r "$RUN_DIRECTORY/files/." "$stage/run/rack/"

device() { mknod -m 0666 "$stage/dev/$1" c "$2" "$3"; }
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device tty 5 0
device net/tun 10 200
ln -s /proc/self/fd "$stage/dev/fd"
ln -s /proc/self/fd/0 "$stage/dev/stdin"
ln -s /proc/self/fd/1 "$stage/dev/stdout"
ln -s /proc/self/fd/2 "$stage/dev/stderr"
ln -s pts/ptmx "$stage/dev/ptmx"
mount -t devpts -o newinstance,mode=0620,ptmxmode=0666 devpts "$stage/dev/pts"

# Where a directory of the machine is about to be covered, what the node needs of it shows through.
keep() {
  case "$1/" in
  /tmp/*) kept=$stage/tmp${1#/tmp} ;;
  /run/*) kept=$stage/run${1#/run} ;;
  /var/tmp/*) kept=$stage/var-tmp${1#/var/tmp} ;;
  /root/*) kept=$stage/root${1#/root} ;;
  *) return 0 ;;
  esac
  mkdir -p "$kept"
  mount --rbind "$1" "$kept"
}
keep "$REPOSITORY"

# Here the machine's files show through, and what the node changes stays with the node: neither it nor we can leave a
# file, or a mount point that another rack then uses, on the machine.
for directory in /etc /var/lib /var/log; do
  layer=$stage/layers$directory
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" overlay "$directory"
done
mount --rbind "$stage/root" /root

# The node's disk: "source target" a line. It survives the power cut.
while read -r source target; do
  mkdir -p "$target"
  mount --bind "$source" "$target"
done <"$RUN_DIRECTORY/binds"

mount --rbind "$stage/dev" /dev
mount --rbind "$stage/tmp" /tmp
mount --rbind "$stage/var-tmp" /var/tmp
mount --rbind "$stage/run" /run
# Nothing of the machine's processes is visible, and the boot has an id of its own.
mount -t proc proc /proc
mount --bind /run/rack/boot_id /proc/sys/kernel/random/boot_id
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cp /run/rack/hosts /run/rack/machine-id /run/rack/hostname /etc/

export PATH=/run/rack/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ip link set lo up
. /run/rack/network.sh
echo up >&9
exec 9>&-

# A service is started again when it ends, as an init of a real machine does. One second, so that a program that
# cannot start does not take the processor.
service() {
  while :; do
    "$@" </dev/null || echo "$(date -Is) $1 ended with $?"
    sleep 1
  done
}
. /run/rack/services.sh
# The shell that waits also reaps whatever the services leave behind.
while :; do wait; sleep 1; done
