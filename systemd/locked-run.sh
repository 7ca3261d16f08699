#!/bin/sh
# Runs a command as another user in a network namespace of its own, from which the only way out is the proxy's Unix socket.
# A program that ignores proxy variables fails at once: there is no route. See lockdown.md.
#   sudo systemd/locked-run.sh SOCKET USER [--] COMMAND...
# The proxy is at 127.0.0.1:4780 inside (ALTERD_PORT for another). Needs root, util-linux, iproute2 and socat.
set -eu

if [ "${1-}" != --inside ]; then
  [ "$#" -ge 3 ] || { echo "usage: $0 SOCKET USER [--] COMMAND..." >&2; exit 2; }
  [ -S "$1" ] || { echo "$0: $1 is no socket; \`alterd status\` names the proxy's" >&2; exit 2; }
  for tool in unshare setpriv ip socat; do
    command -v "$tool" >/dev/null || { echo "$0: $tool is missing" >&2; exit 2; }
  done
  # A process namespace too: everything in it ends with the command, and it sees no command line of others.
  exec unshare --net --pid --fork --kill-child --mount-proc -- "$0" --inside "$@"
fi

socket=$2 user=$3
shift 3
[ "$1" != -- ] || shift
port=${ALTERD_PORT:-4780}

ip link set lo up
# The daemon's own user passes bytes on: the directory of the socket stays closed to the agent.
setpriv --reuid "$(stat -c %u "$socket")" --regid "$(stat -c %g "$socket")" --clear-groups --no-new-privs \
  socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "UNIX-CONNECT:$socket" &
tries=0
until grep -q "0100007F:$(printf %04X "$port") 00000000:0000 0A" /proc/net/tcp; do
  tries=$((tries + 1))
  [ "$tries" -le 100 ] || { echo "$0: the way to the proxy did not open" >&2; exit 1; }
  sleep 0.05
done

status=0
# No capability is left, and no set-uid program gives any back: the command can't join another namespace.
setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@" || status=$?
exit "$status"
