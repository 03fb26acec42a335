# need_packages PACKAGE:COMMAND-OR-FILE...: installs the Debian packages whose command is missing.
# Sourced by the scripts; says in one line what to install when it may not do it itself.

need_packages() {
    local pair name missing=() PATH=$PATH:/usr/sbin:/sbin
    for pair in "$@"; do
        name=${pair#*:}
        case $name in
            /*) [ -e "$name" ] || missing+=("${pair%%:*}") ;;
            *) command -v "$name" >/dev/null || missing+=("${pair%%:*}") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "${0##*/}: missing; as root run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    if ! command -v apt-get >/dev/null; then
        echo "${0##*/}: missing: ${missing[*]}; this script can install them on Debian or Ubuntu only" >&2
        exit 1
    fi
    install_packages "${missing[@]}"
}

install_packages() { # PACKAGE...
    local attempt log
    echo "${0##*/}: installing $*" >&2
    for attempt in 1 2 3; do
        if log=$(run_apt "$@" 2>&1 </dev/null); then
            return 0
        fi
        sleep $((attempt * 2))
    done
    echo "${0##*/}: apt-get could not install $*:" >&2
    tail -n 8 <<<"$log" | sed 's/^/    /' >&2
    exit 1
}

run_apt() { # PACKAGE...
    local options=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300)
    apt-get "${options[@]}" update &&
        DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y \
            --no-install-recommends "$@"
}
