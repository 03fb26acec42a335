# tools_python: prints the Python of the development environment, made on first use.
# Sourced by the scripts; the environment is cached outside the checkout, a new one for each
# pyproject.toml.

cache_dir() {
    echo "${UDPTRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/udptrace}"
}

tools_python() {
    local base directory project
    base=/usr/bin/python3
    [ -x $base ] || base=python3
    need_packages python3:python3 python3-venv:"$("$base" -c 'import ensurepip as e; print(e.__file__)' 2>/dev/null || echo /missing/ensurepip)" >&2
    project=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
    directory=$(cache_dir)/tools-$({ cat "$project/pyproject.toml"; "$base" -VV; } | sha256sum | cut -c1-12)
    [ -e "$directory/finished" ] || make_tools "$base" "$directory" "$project" >&2
    echo "$directory/bin/python"
}

make_tools() { # PYTHON DIRECTORY PROJECT
    local attempt tools
    echo "${0##*/}: installing the development tools (lint, types, tests)"
    rm -rf "$2"
    "$1" -m venv "$2"
    mapfile -t tools < <("$2/bin/python" "$3/scripts/lib/tool_list.py" "$3/pyproject.toml")
    for attempt in 1 2 3; do
        if "$2/bin/pip" install -q --disable-pip-version-check --retries 10 "${tools[@]}"; then
            touch "$2/finished"
            return 0
        fi
        sleep $((attempt * 3))
    done
    echo "${0##*/}: pip could not install the development tools"
    exit 1
}
