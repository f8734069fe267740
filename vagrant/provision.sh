#!/bin/bash
# Prepare a bare Debian 12, Debian 13 or Ubuntu 24.04 machine, or a guest, for tracer.
#
#   vagrant/provision.sh           the `tracer` command, installed as a copy: the checkout may go away afterwards
#   vagrant/provision.sh --tests   what the tests need as well. The install is then an editable one: `tracer` and
#                                  the environment's Python run the checkout itself, so tests see what you edit.
#
# Run it as root, from anywhere; it asks nothing and writes nothing into the checkout. bcc is not on PyPI and belongs
# to the distribution's Python, hence an environment of /usr/bin/python3 that sees the distribution's packages.
# A second run does only what has changed: packages that are missing, sources that differ from those installed.
# Exit status: 0 ready, 1 this machine could not be prepared, 2 wrong usage.
set -euo pipefail

readonly home=/opt/tracer
readonly venv=$home/venv
readonly installed=$home/installed # what the environment was made from
readonly command=/usr/local/bin/tracer
readonly patience=300 # seconds to wait for another package manager

packages=(ca-certificates iproute2 ipset iptables nftables python3-bpfcc python3-venv)
readonly test_packages=(conntrack iputils-ping procps shellcheck tcpdump)

die() {
    printf 'provision: %s\n' "$2" >&2
    exit "$1"
}

say() { printf 'provision: %s\n' "$1"; }

# What a command says is of interest only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

check_machine() {
    [[ $EUID -eq 0 ]] || die 1 "not root: run it in a root shell or with sudo"
    [[ -f $checkout/pyproject.toml ]] || die 1 "no checkout around $0: run the script where it lies in the checkout"
    local name
    # shellcheck source=/dev/null
    name=$(. /etc/os-release && echo "$ID ${VERSION_ID-}")
    case $name in
    "debian 12" | "debian 13" | "ubuntu 24.04") ;;
    *) die 1 "this machine is ${name% }: only Debian 12, Debian 13 and Ubuntu 24.04 are supported" ;;
    esac
}

missing_packages() {
    local present package
    # It fails when a name is unknown to it, which is the normal state of a bare machine.
    present=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
    for package in "${packages[@]}"; do
        grep --quiet --fixed-strings --line-regexp "$package installed" <<<"$present" || echo "$package"
    done
}

# DPkg::Lock::Timeout covers dpkg's own lock; those on lists and archives fail at once and are tried again here.
apt_get() {
    local deadline=$((SECONDS + patience)) output
    until output=$(apt-get -qq -o DPkg::Lock::Timeout=$patience -o Dpkg::Options::=--force-confold "$@" 2>&1); do
        if [[ $output != *"Could not get lock"* ]] || ((SECONDS > deadline)); then
            printf '%s\n' "$output" >&2
            return 1
        fi
        sleep 1
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt_get update || say "not every package source answered: going on with what is known" >&2
    apt_get install --yes --no-install-recommends "${missing[@]}" ||
        die 1 "cannot install ${missing[*]}: are this machine's package sources (on Ubuntu with universe) reachable?"
}

# One line for all that decides what the environment must hold.
fingerprint() {
    local sources=(LICENSE README.md bpf pyproject.toml scenarios tracer)
    [[ $mode == copy ]] || sources=(pyproject.toml tracer/__init__.py)
    {
        echo "$mode $checkout"
        /usr/bin/python3 --version
        cd "$checkout"
        find "${sources[@]}" -type f ! -path '*/__pycache__/*' -print0 | sort --zero-terminated | xargs -0 sha256sum
    } | sha256sum
}

install_tool() {
    local wanted target=("$checkout")
    wanted=$(fingerprint)
    [[ ! -x $venv/bin/tracer || $(cat $installed 2>/dev/null) != "$wanted" ]] || return 0
    [[ $mode == copy ]] || target=(--editable "${checkout}[test]")
    say "installing tracer from $checkout into $venv"
    rm --force $installed
    /usr/bin/python3 -m venv --system-site-packages $venv
    quietly $venv/bin/python -m pip install --no-input --disable-pip-version-check "${target[@]}" ||
        die 1 "cannot install tracer's Python packages: is this machine's package index reachable?"
    $venv/bin/python -c 'import bcc' || die 1 "python3-bpfcc is installed and $venv/bin/python cannot import it"
    echo "$wanted" >$installed
}

link_command() {
    [[ ! -e $command || $(readlink $command) == "$venv/bin/tracer" ]] ||
        die 1 "$command is another program: move it away, then run this again"
    ln --symbolic --force $venv/bin/tracer $command
}

# Neither the caller's environment nor a terminal may change what happens, or be asked.
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
exec </dev/null

case "$*" in
"") mode=copy ;;
--tests) mode=editable && packages+=("${test_packages[@]}") ;;
*) die 2 "usage: $0 [--tests]" ;;
esac
readonly mode
checkout=$(realpath "$0")
readonly checkout=${checkout%/*/*}

check_machine
install_packages
install_tool
link_command
say "ready after $SECONDS s: $command runs $venv, an install of $checkout ($mode)"
