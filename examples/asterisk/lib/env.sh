# Settings shared by up, down, status, scenario and load. Sourced, not run. Every value can be set from the environment.
: "${ASTERISK_LAB_DIR:=${XDG_CACHE_HOME:-$HOME/.cache}/ringcast-asterisk-lab}"  # the unpacked Asterisk; many labs may share it
: "${ASTERISK_LAB_RUN:=$ASTERISK_LAB_DIR/run}"   # this lab's configuration, logs and sockets
: "${ASTERISK_LAB_AMI_PORT:=5038}"               # on 127.0.0.1
: "${ASTERISK_LAB_SIP_PORT:=5060}"               # on 127.0.0.1
: "${ASTERISK_LAB_TRUNK_PORT:=5090}"             # the provider's SIP port, on 127.0.0.2
: "${ASTERISK_LAB_HTTP_PORT:=8088}"              # ARI, on 127.0.0.1
: "${ASTERISK_LAB_LOAD_PORT:=5080}"              # the SIP port of the operators of ./load, on 127.0.0.3
: "${ASTERISK_LAB_TIMESTAMPS:=no}"               # yes: every AMI event carries its time
: "${ASTERISK_LAB_RTP_START:=10000}"             # the first of 2000 RTP ports; labs may share them
: "${ASTERISK_LAB_SUITE:=sid}"                   # the Debian release that Asterisk is taken from
export ASTERISK_LAB_DIR ASTERISK_LAB_RUN ASTERISK_LAB_AMI_PORT ASTERISK_LAB_SIP_PORT ASTERISK_LAB_TRUNK_PORT \
  ASTERISK_LAB_HTTP_PORT ASTERISK_LAB_LOAD_PORT

LAB_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_ROOT=$ASTERISK_LAB_DIR/root
LAB_VERSION=$ASTERISK_LAB_DIR/version    # written when the tree is complete
LAB_BUILT=$ASTERISK_LAB_DIR/built-2      # and this: another number when the lab needs more of it than it did (2: curl)
LAB_PID=$ASTERISK_LAB_RUN/asterisk.pid

# in_root PROGRAM ARGS...: becomes a program of the unpacked tree, with the tree's own loader and
# libraries. No chroot, so no root rights are needed.
in_root() {
  local prog=$1 lib ld; shift
  lib=$(echo "$LAB_ROOT"/usr/lib/*-linux-gnu)
  for ld in "$lib"/ld-linux-*.so.* "$lib"/ld-2.*.so; do
    if [ -e "$ld" ]; then exec "$ld" --library-path "$lib:$LAB_ROOT/usr/lib" "$LAB_ROOT$prog" "$@"; fi
  done
  echo "no loader in $lib" >&2; return 1
}

# The pid of this lab's Asterisk if it is alive, else nothing. The command line is checked too, so a
# reused pid is never taken for ours.
lab_pid() {
  local p
  p=$(cat "$LAB_PID" 2>/dev/null) || return 1
  [ -n "$p" ] && kill -0 "$p" 2>/dev/null || return 1
  tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -qF -- "-C $ASTERISK_LAB_RUN/etc/asterisk.conf" || return 1
  echo "$p"
}

# lab_cli 'core show channels': the Asterisk command line.
lab_cli() { ( in_root /usr/sbin/asterisk -C "$ASTERISK_LAB_RUN/etc/asterisk.conf" -rx "$*" ); }
