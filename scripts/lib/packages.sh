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
    if ! command -v apt-get >/dev/null; then
        echo "${0##*/}: missing: what Debian calls ${missing[*]}; install it with this system's own" \
            "tools and run this again (on Debian and Ubuntu it would install it itself)" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "${0##*/}: missing; as root run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    install_packages "${missing[@]}"
}

# need_python_modules MODULE:PACKAGE...: the same for modules of the distribution's own Python, which
# is installed first.
need_python_modules() {
    local pair missing=()
    need_packages python3:/usr/bin/python3
    for pair in "$@"; do
        /usr/bin/python3 -I -c 'import importlib.util as u, sys; sys.exit(not u.find_spec(sys.argv[1]))' \
            "${pair%%:*}" || missing+=("${pair#*:}:/missing")
    done
    [ ${#missing[@]} = 0 ] || need_packages "${missing[@]}"
}

# What udptrace itself needs, wherever it runs.
need_udptrace() {
    need_python_modules bcc:python3-bpfcc click:python3-click jinja2:python3-jinja2 \
        tabulate:python3-tabulate
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
