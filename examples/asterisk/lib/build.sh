#!/bin/bash
# Downloads Asterisk and what it needs from Debian and unpacks it into $ASTERISK_LAB_DIR. Nothing is
# installed on the host: the packages are fetched by a private apt with its own lists and its own (empty)
# status, and run from where they are unpacked.
set -euo pipefail
. "$(dirname "$0")/env.sh"
apt=$ASTERISK_LAB_DIR/apt debs=$ASTERISK_LAB_DIR/debs log=$ASTERISK_LAB_DIR/build.log
give_up() {
  [ -s "$log" ] && tail -n 5 "$log" >&2
  cat >&2 <<T

No Asterisk: $1
The lab takes Debian's packages with apt-get, so it needs Debian or Ubuntu with
  apt, dpkg, tar, python3, util-linux (flock) and debian-archive-keyring
and access to a Debian mirror (ASTERISK_LAB_MIRROR, else the one of /etc/apt).
T
  exit 1
}
for tool in apt-get dpkg-deb tar awk; do
  command -v "$tool" >/dev/null || give_up "$tool is missing."
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || give_up "$keyring is missing; install debian-archive-keyring."
mirror=${ASTERISK_LAB_MIRROR:-$(sed -n 's/^URIs:[ \t]*\([^ ]*\/debian\)\/*\( .*\)\?$/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\/debian\)\/* .*/\2/p' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n1 || true)}
[ -n "$mirror" ] || give_up "/etc/apt names no Debian mirror: set ASTERISK_LAB_MIRROR to one."

echo "downloading Asterisk from Debian $ASTERISK_LAB_SUITE, once, into $ASTERISK_LAB_DIR" >&2
rm -rf "$apt" "$debs" "$LAB_ROOT"
mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$debs"
: >"$apt/status"; : >"$log"
echo "deb [signed-by=$keyring] $mirror $ASTERISK_LAB_SUITE main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<C
Dir::State "$apt"; Dir::State::Lists "$apt/lists"; Dir::State::status "$apt/status";
Dir::Cache "$apt/cache"; Dir::Etc::SourceList "$apt/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null"; Dir::Etc::PreferencesParts "/dev/null";
APT::Install-Recommends "false"; Acquire::Languages "none"; APT::Sandbox::User "root";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; Acquire::Retries "3"; Acquire::http::Timeout "30";
C
export APT_CONFIG=$apt/apt.conf
apt-get -q -o APT::Update::Error-Mode=any update >>"$log" 2>&1 || give_up "the package lists of $mirror cannot be read."
# What asterisk depends on, less what only modules that are never loaded need.
skip='^(perl|libperl|gnupg|gpg|dirmngr|pinentry|(lib)?python3|tzdata|pci\.ids|libpci3|passwd|adduser|debconf|login\.defs'
skip+='|base-passwd|libpam|libsemanage|libsepol|libaudit|tar$|dpkg$|media-types|netbase|libasound2|libsnmp|libsensors'
skip+='|readline-common|lsb-base|init-system|openssl-provider|libc-gconv|libpq5|libsybdb|freetds|libodbc|libjack|libportaudio'
skip+='|libical|libgmime|libneon|libspandsp|libtiff|libjbig|libjpeg|libwebp|libdeflate|liblerc|libsharpyuv|libiksemel'
skip+='|libradcli|libgpgme|libassuan|libksba|libnpth|libdb5|libgdbm|libsamplerate|libvorbis|libcodec2|libglib2|libopencore'
skip+='|libvo-amr|libopus|liblua|libltdl'
# (Older releases need these for more.)
[ "$ASTERISK_LAB_SUITE" = sid ] && skip+='|libicu|libnss3|libnspr|libgcrypt'
skip+=')'
apt-get install -s -y asterisk 2>>"$log" | awk '/^Inst/{print $2}' | grep -Ev "$skip" >"$apt/want" || true
[ -s "$apt/want" ] || give_up "$ASTERISK_LAB_SUITE of $mirror has no asterisk."
# shellcheck disable=SC2046 # one word a package
( cd "$debs" && apt-get -q download $(cat "$apt/want") >>"$log" 2>&1 ) || give_up "the download from $mirror failed."

mkdir -p "$LAB_ROOT"/usr/{bin,sbin,lib,lib64}
for d in bin sbin lib lib64; do ln -sfn "usr/$d" "$LAB_ROOT/$d"; done
for d in "$debs"/*.deb; do
  dpkg-deb --fsys-tarfile "$d" | tar -xf - -C "$LAB_ROOT" --keep-directory-symlink --no-same-owner \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./dev/*'
done
ln -sfn en_US_f_Allison "$LAB_ROOT/usr/share/asterisk/sounds/en"   # Debian does this after installing
rm -rf "$debs" "$apt"
( in_root /usr/sbin/asterisk -V ) >"$LAB_VERSION.new" 2>>"$log" || give_up "what was unpacked does not start."
mv "$LAB_VERSION.new" "$LAB_VERSION"
touch "$LAB_BUILT"
