/**
 * What busybox' udhcpc calls with each news of its server. It touches only what it set itself: the VIP and addresses of
 * box.conf stay. State is in RUN, a file a link: the address, the DNS servers, the time servers.
 */
export function dhcpScript(run: string): string {
  return `#!/bin/sh
# udhcpc calls this with deconfig, bound, renew, leasefail or nak; interface, ip, mask, router, dns, ntpsrv in the environment.
file=${run}/dhcp-$interface
forget() {
  [ -s "$file.address" ] && ip address del "$(cat "$file.address")" dev "$interface" 2>/dev/null
  rm -f "$file.address" "$file.dns" "$file.ntp"
}
resolv() {
  { cat ${run}/dns 2>/dev/null; cat ${run}/dhcp-*.dns 2>/dev/null; } | sed 's/^/nameserver /' >${run}/resolv.conf.new
  mv ${run}/resolv.conf.new ${run}/resolv.conf
}
case "$1" in
deconfig)
  forget
  ip link set dev "$interface" up
  resolv
  ;;
bound | renew)
  new="$ip/\${mask:-24}"
  if [ "$(cat "$file.address" 2>/dev/null)" != "$new" ]; then forget; fi
  ip address replace "$new" broadcast + dev "$interface"
  echo "$new" >"$file.address"
  for one in $router; do
    ip route replace default via "$one" dev "$interface" metric "\${IF_METRIC:-100}"
    break
  done
  for one in $dns; do echo "$one"; done >"$file.dns"
  for one in $ntpsrv; do echo "$one"; done >"$file.ntp"
  resolv
  ;;
esac
exit 0
`;
}
