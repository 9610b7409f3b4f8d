/**
 * The beacon: a POSIX shell loop that runs on a hypervisor for as long as the connection lives. Nothing is installed there.
 *
 * Its main loop uses shell built-ins and `sleep` only and touches nothing that can hang: libvirtd is asked, and the disk
 * is written, by two children of its own, which leave the time of their last success in files on a tmpfs. So a hung
 * libvirtd or a stalled disk ages its number and nothing else. All times are the host's own uptime; the box subtracts.
 */

/** A line each 500 ms: four may be lost before 2 s of silence make a suspect. */
export const BEACON_INTERVAL_MS = 500;
/** Disk beats are 1 s apart: two missed ones fit into the time that a fencing proof takes anyway. */
export const DISK_BEAT_INTERVAL_S = 1;
/** One `virsh list` costs a host about 15 ms of CPU; each box asks. 5 s keeps three boxes below 1 % of one core. */
export const LIBVIRT_PROBE_INTERVAL_S = 5;
/** A libvirtd that does not answer a list for this long is asked afresh; its age goes on counting. */
export const LIBVIRT_PROBE_TIMEOUT_S = 30;
/** CPU and memory counters go with every 10th line: every 5 s. */
export const SAMPLE_EVERY_LINES = 10;

export interface LoopOptions {
  /** Tells the loops of different boxes apart: a new loop of one box ends its forgotten predecessor. `[a-z0-9-]+`. */
  readonly boxId: string;
  /** Unique for each connection. `[a-z0-9-]+`. */
  readonly token: string;
  /** The shared datastore directory: the disk beat goes to `.ringfence/<host uuid>` in it, where other hosts can read it. */
  readonly datastores: string;
}

/** Quotes one word for a POSIX shell. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The directory, in the shared datastore or on a local disk, that holds one file of disk beats for each host. */
export const BEAT_DIRECTORY = ".ringfence";
/** Where the disk beat goes on a host without the shared datastore: its own disk is still watched, no other host sees it. */
const LOCAL_BEAT_ROOT = "/var/tmp";

/** The text for the standard input of `sh -s` on the host. */
export function loopScript(options: LoopOptions): string {
  return `main() {
PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
export PATH LC_ALL
umask 077
box=${shellQuote(options.boxId)} token=${shellQuote(options.token)} store=${shellQuote(options.datastores)}
user=$(id -u)
for d in /run/ringfence "/dev/shm/ringfence-$user" "/tmp/ringfence-$user" none; do
  [ "$d" = none ] && { echo "rf1 E no directory for the beacon: /run, /dev/shm and /tmp cannot be written"; exit 1; }
  mkdir -p "$d" 2>/dev/null; [ -O "$d" ] && [ -w "$d" ] && break
done
command -v virsh >/dev/null || echo "rf1 E virsh is not installed"
exec 2>/dev/null
b="$d/$box"
echo "$token" >"$b.token"
: >"$b.libvirt"; : >"$b.list"; : >"$b.disk"; : >"$b.uuid"
mine() { read -r t <"$b.token" && [ "$t" = "$token" ]; }

read -r boot </proc/sys/kernel/random/boot_id
read -r s </proc/1/stat && set -- \${s##*) } && boot="$boot-\${20}"
cpus=0
while read -r w rest; do case $w in cpu[0-9]*) cpus=$((cpus + 1));; esac; done </proc/stat
kvm=0; [ -w /dev/kvm ] && kvm=1
read -r name </proc/sys/kernel/hostname
printf 'rf1 H %s %s %s %s\\n' "$boot" "$cpus" "$kvm" "$name" || exit

probe() {
  uuid='' list='' new='' generation=0
  while mine; do
    if new=$(timeout ${LIBVIRT_PROBE_TIMEOUT_S} virsh -q -c qemu:///system list --all --title </dev/null); then
      if [ "$new" != "$list" ] || [ $generation = 0 ]; then
        list=$new generation=$((generation + 1))
        printf '%s\\n' "$list" >"$b.list.new"; mv -f "$b.list.new" "$b.list"
      fi
      read -r up rest </proc/uptime
      echo "$up $generation ." >"$b.libvirt"
      if [ -z "$uuid" ]; then
        uuid=$(timeout ${LIBVIRT_PROBE_TIMEOUT_S} virsh -q -c qemu:///system capabilities </dev/null)
        uuid=\${uuid#*<uuid>} uuid=\${uuid%%</uuid>*}
        [ \${#uuid} = 36 ] && echo "$uuid ." >"$b.uuid" || uuid=''
      fi
    fi
    sleep ${LIBVIRT_PROBE_INTERVAL_S}
  done
}

beat() {
  uuid='' dot=''
  while mine && [ "$dot" != . ]; do read -r uuid dot <"$b.uuid"; sleep 0.2 || sleep 1; done
  [ -d "$store" ] && root="$store" || root=${LOCAL_BEAT_ROOT}
  mkdir -p "$root/${BEAT_DIRECTORY}"
  while mine; do
    read -r up rest </proc/uptime
    if echo "$boot $up $box ." | dd of="$root/${BEAT_DIRECTORY}/$uuid" conv=fsync,notrunc; then
      read -r up rest </proc/uptime
      echo "$up ." >"$b.disk"
    fi
    sleep ${DISK_BEAT_INTERVAL_S}
  done
}

probe </dev/null >/dev/null &
p1=$!
beat </dev/null >/dev/null &
p2=$!
trap 'kill $p1 $p2' EXIT
trap 'exit 0' HUP INT TERM PIPE

n=0 libvirt=- disk=- sent=0 known=''
while mine; do
  read -r x g dot <"$b.libvirt" && [ "$dot" = . ] && libvirt=$x || g=$sent
  read -r x dot <"$b.disk" && [ "$dot" = . ] && disk=$x
  if [ -z "$known" ]; then
    read -r x dot <"$b.uuid" && [ "$dot" = . ] && known=$x && printf 'rf1 U %s\\n' "$known"
  fi
  if [ "$g" != "$sent" ]; then
    while IFS= read -r row; do printf 'rf1 D %s\\n' "$row"; done <"$b.list"
    printf 'rf1 L %s\\n' "$libvirt" || exit
    sent=$g
  fi
  if [ $((n % ${SAMPLE_EVERY_LINES})) = 0 ]; then
    read -r w cpu </proc/stat
    total=0 available=0
    while read -r w x rest; do
      case $w in MemTotal:) total=$x;; MemAvailable:) available=$x; break;; esac
    done </proc/meminfo
    printf 'rf1 S %s %s %s\\n' "$total" "$available" "$cpu" || exit
  fi
  n=$((n + 1))
  read -r up rest </proc/uptime
  printf 'rf1 T %s %s %s %s\\n' "$n" "$up" "$libvirt" "$disk" || exit
  sleep 0.5 || sleep 1
done
echo "rf1 E another loop of this box took over"
}
main
`;
}

/**
 * The text that follows the host's lifecycle events until its standard input ends; says `rf1 R` at each (re)start: list then.
 * virsh itself writes only when something happens, so it would not notice that the connection is gone: `cat` does.
 */
export function eventScript(): string {
  return `main() {
PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
export PATH LC_ALL
exec 2>/dev/null
follow() {
  v=''
  trap 'kill $v; exit 0' TERM PIPE
  while echo "rf1 R"; do
    virsh -q -c qemu:///system event --all --loop --timestamp </dev/null &
    v=$!
    wait $v
    sleep 1
  done
}
follow </dev/null &
f=$!
cat >/dev/null
kill $f
}
main
`;
}
