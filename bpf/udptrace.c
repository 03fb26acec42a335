// The probes: connects, binds, closes, errors told, lookups that miss and the ICMP they cause.
//
// No kernel header is included: OFF_* definitions come from the running kernel's BTF
// (tracer/kernel/layout.py), fields are read with bpf_probe_read_kernel. Every probe runs in any
// context; only those of system calls (connect, bind, close) may look at the current task.
//
// BCC rewrites the use of maps in one file only, so tracer/kernel/program.py puts the parts in the
// place of their #include lines before it compiles them.

#include <uapi/linux/ptrace.h>
#include "events.h"
#include "kernel.h"
#include "packet.h"

#include "shared.c"
#include "states.c"
#include "calls.c"
#include "close.c"
#include "errors.c"
#include "lookups.c"
#include "misses.c"
#include "fate.c"
#include "walk.c"
#include "evidence.c"
#include "icmp.c"
#include "received.c"
