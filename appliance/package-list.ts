/**
 * What a slot takes from Debian: package → its files that go into the root, each at its own path (`/sbin` and `/lib` are
 * links into /usr). Libraries are not named: what these programs need comes along. A path that ends in `/` is a directory.
 */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "busybox-static": ["bin/busybox"],
  libc6: [],
  // node_sqlite3.node is C++.
  "libstdc++6": [],
  nftables: ["usr/sbin/nft"],
  // bun:ffi opens it by name: src/linux/nftables.ts.
  libnftables1: ["usr/lib/@/libnftables.so.1"],
  iproute2: ["bin/ip", "bin/ss", "sbin/bridge"],
  "openssh-client": ["usr/bin/ssh", "usr/bin/scp", "usr/bin/ssh-keygen"],
  "openssh-server": ["usr/sbin/sshd"],
  "openssh-sftp-server": ["usr/lib/openssh/sftp-server"],
  kmod: ["bin/kmod"],
  e2fsprogs: ["sbin/e2fsck", "sbin/mke2fs", "sbin/resize2fs", "sbin/dumpe2fs", "sbin/tune2fs", "etc/mke2fs.conf"],
  dosfstools: ["sbin/fsck.fat"],
  dmsetup: ["sbin/dmsetup"],
  chrony: ["usr/sbin/chronyd", "usr/bin/chronyc"],
  "ca-certificates": ["usr/share/ca-certificates/"],
  fdisk: ["sbin/sfdisk"],
  // busybox has no flock, its setsid does not wait, and its partprobe cannot resize a partition of a disk in use.
  "util-linux": ["usr/bin/setsid", "usr/bin/partx", "usr/bin/flock"],
  ethtool: ["sbin/ethtool"],
};

/** What the initramfs of a secure image takes in addition: it checks the footer's signature. */
export const FOOTER_CHECKER = { package: "signify-openbsd", file: "bin/signify-openbsd" } as const;

/** Libraries that are opened by name, so that no program says that it needs them. */
export const OPENED_LIBRARIES: readonly string[] = ["libgcc_s.so.1"];

/** Names of packages that libraries come in; nothing else is followed among what a package depends on. */
export const LIBRARY_PACKAGE = /^(lib|zlib1g$|gcc-\d+-base$)/;
