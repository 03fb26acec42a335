/* The traffic that is measured: datagrams that find their socket, and datagrams that miss.
 *
 * Under `scripts/vm --icount` a nanosecond of CLOCK_MONOTONIC is one executed instruction. Over
 * loopback a datagram is received, refused and answered inside the call that sends it, so the time
 * that call takes is what the datagram costs.
 *
 * usage: traffic hit BATCHES             -> median and mean of send + receive
 *        traffic hold ADDRESSES PORT...  -> holds PORT of each address, prints a line, waits
 *        traffic miss SAMPLES PORT       -> median of a first miss, and of a repeated one
 *        traffic trickle COUNT PORT      -> so many first misses, one every 50 ms
 */
#include <arpa/inet.h>
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 20 /* datagrams between two looks at the clock: a timer's tick falls into few */
#define REPEATS 20
#define HIT_PORT 7900
#define PAUSE_NS 50000000
#define LOCALHOST 0x7f000001
#define HOLDERS 0x7f020000 /* the addresses that `hold` takes: none that anything is sent to */
#define SENDERS 0x7f030000 /* one for each first miss: a port is given out again */

static long long now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void pause_for(long nanoseconds) {
    struct timespec wanted = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&wanted, NULL);
}

static struct sockaddr_in end_of(unsigned address, unsigned port) {
    struct sockaddr_in end = {.sin_family = AF_INET, .sin_port = htons(port)};
    end.sin_addr.s_addr = htonl(address);
    return end;
}

static int udp_socket(unsigned address, unsigned port) {
    struct sockaddr_in local = end_of(address, port);
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || bind(sock, (struct sockaddr *)&local, sizeof local))
        err(1, "a socket on port %u", port);
    return sock;
}

static int compare(const void *one, const void *two) {
    long long a = *(const long long *)one, b = *(const long long *)two;
    return (a > b) - (a < b);
}

static long long median(long long *values, int count) {
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static long long *room(int count) {
    long long *values = calloc(count, sizeof *values);
    if (!values)
        err(1, "memory");
    return values;
}

static int hit(int batches) {
    struct sockaddr_in to = end_of(LOCALHOST, HIT_PORT);
    int receiver = udp_socket(INADDR_ANY, HIT_PORT), sender = udp_socket(INADDR_ANY, 0);
    long long *took = room(batches), began;
    char byte = 'x';
    if (connect(sender, (struct sockaddr *)&to, sizeof to))
        err(1, "connect");
    began = now();
    for (int batch = 0; batch < batches; batch++) {
        long long from = now();
        for (int i = 0; i < BATCH; i++)
            if (send(sender, &byte, 1, 0) != 1 || recv(receiver, &byte, 1, 0) != 1)
                err(1, "a datagram");
        took[batch] = now() - from;
    }
    began = now() - began;
    printf("{\"path\": %.1f, \"mean\": %.1f}\n", (double)median(took, batches) / BATCH,
           (double)began / batches / BATCH);
    return 0;
}

static int hold(unsigned addresses, int count, char **ports) {
    struct rlimit files = {.rlim_cur = addresses * count + 64, .rlim_max = addresses * count + 64};
    if (setrlimit(RLIMIT_NOFILE, &files))
        err(1, "%lu files", (unsigned long)files.rlim_cur);
    for (int port = 0; port < count; port++)
        for (unsigned i = 0; i < addresses; i++)
            udp_socket(HOLDERS + i, atoi(ports[port]));
    puts("held");
    fflush(stdout);
    pause();
    return 0;
}

static long long refused(int sock, const struct sockaddr_in *to) {
    long long from = now();
    if (sendto(sock, "x", 1, 0, (struct sockaddr *)to, sizeof *to) != 1)
        err(1, "sendto");
    return now() - from;
}

/* Nobody is told: the senders are unconnected. Above every other process, so that no tracer's runs
 * while the clock does; between the samples it may. */
static int miss(int samples, unsigned port) {
    struct sockaddr_in to = end_of(LOCALHOST, port);
    struct sched_param first = {.sched_priority = 1};
    long long *firsts = room(samples), *repeats = room(samples * REPEATS);
    if (sched_setscheduler(0, SCHED_FIFO, &first))
        err(1, "SCHED_FIFO");
    for (int sample = 0; sample < samples; sample++) {
        int sock = udp_socket(SENDERS + sample, 0);
        pause_for(4 * PAUSE_NS); /* what was sent of the one before is read meanwhile */
        firsts[sample] = refused(sock, &to);
        for (int i = 0; i < REPEATS; i++)
            repeats[sample * REPEATS + i] = refused(sock, &to);
        close(sock);
    }
    printf("{\"first\": %lld, \"repeat\": %lld}\n", median(firsts, samples),
           median(repeats, samples * REPEATS));
    return 0;
}

static int trickle(int count, unsigned port) {
    struct sockaddr_in to = end_of(LOCALHOST, port);
    for (int i = 0; i < count; i++) {
        int sock = udp_socket(SENDERS + i, 0);
        pause_for(PAUSE_NS);
        refused(sock, &to);
        close(sock);
    }
    return 0;
}

int main(int count, char **words) {
    if (count == 3 && !strcmp(words[1], "hit"))
        return hit(atoi(words[2]));
    if (count > 3 && !strcmp(words[1], "hold"))
        return hold(atoi(words[2]), count - 3, words + 3);
    if (count == 4 && !strcmp(words[1], "miss"))
        return miss(atoi(words[2]), atoi(words[3]));
    if (count == 4 && !strcmp(words[1], "trickle"))
        return trickle(atoi(words[2]), atoi(words[3]));
    errx(2, "usage: traffic hit BATCHES | hold ADDRESSES PORT... | miss SAMPLES PORT | "
            "trickle COUNT PORT");
}
