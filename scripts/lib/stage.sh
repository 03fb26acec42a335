# stage_udptrace TOP STAGE PREFIX: puts all that udptrace consists of below STAGE, to be run from
# PREFIX. Sourced by scripts/install and scripts/build-deb, so that both install the same.

stage_udptrace() {
    local top=$1 to=$2$3 made=$2/made zsh=site-functions
    # Where Debian's zsh looks for what packages bring.
    [ "$3" != /usr ] || zsh=vendor-completions
    mkdir -p "$to/lib/udptrace" "$to/share/doc/udptrace"
    cp -r "$top/tracer" "$to/lib/udptrace/tracer"
    cp -r "$top/bpf" "$to/lib/udptrace/tracer/_bpf"
    find "$to/lib/udptrace" -name __pycache__ -prune -exec rm -rf {} +
    cp -r "$top/README.md" "$top/LICENSE" "$top/docs" "$to/share/doc/udptrace"
    (cd "$top" && /usr/bin/python3 -E -B -m tracer.manual "$made")
    install -D -m 644 -t "$to/share/man/man1" "$made"/*.1
    install -D -m 644 "$made/udptrace.bash" "$to/share/bash-completion/completions/udptrace"
    install -D -m 644 "$made/_udptrace" "$to/share/zsh/$zsh/_udptrace"
    install -D -m 644 "$made/udptrace.fish" "$to/share/fish/vendor_completions.d/udptrace.fish"
    rm -r "$made"
    # Where systemd finds it, to be enabled by whoever wants it (docs/fleet.md).
    install -D -m 644 -t "$to/lib/systemd/system" "$top/packaging/systemd/udptrace-recorder.service"
    sed -i "s|/usr/local/bin/|$3/bin/|" "$to/lib/systemd/system/udptrace-recorder.service"
    install -m 644 -t "$to/share/doc/udptrace" "$top/packaging/systemd/udptrace-sysctl.conf"
    write_launcher "$to/bin/udptrace" "$3/lib/udptrace"
    # Whatever the checkout's modes and the umask are: what root runs is root's to change.
    find "$to" -type d -exec chmod 755 {} +
    find "$to" -type f -exec chmod 644 {} +
    chmod 755 "$to/bin/udptrace"
}

write_launcher() { # FILE LIBRARY
    mkdir -p "$(dirname "$1")"
    # Isolated (-I): what runs as root takes no module from the environment or the current directory.
    cat >"$1" <<END
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "$2")
from tracer.cli.main import main

sys.exit(main())
END
}
