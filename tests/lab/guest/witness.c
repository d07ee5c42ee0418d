/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The witness: the guest's only program. It makes every lost or stale page and sector visible.
 *
 * Memory: each page of an arena carries its number, a generation and a pattern derived from both
 * over all 4096 bytes. The generation each page must have is kept in a table of its own. All the
 * time pages are picked in order and at random, verified against the table and written again with
 * the next generation, so that a page that arrives late, old, torn or not at all is found.
 *
 * Disk: 4 KiB records with the same kind of stamp are written with O_DIRECT|O_SYNC to /dev/vda, and
 * earlier ones are read back and compared with the table in memory.
 *
 * What it prints (on the console) and what it obeys (lines on the second serial port):
 *
 *   READY pages=N records=N run=X       the arena is stamped, the work begins
 *   HB seq=N ms=T pages=N passes=N sectors=N errors=N      five times a second
 *   BAD page=N expected=G found=G word=W        (found: what the header says; word: the first that
 * differs) BAD sector=N expected=S found=S word=W verify            -> VERIFY pages=N bad=N
 * sectors=N bad=N errors=N     all of both, checked now corrupt page|sector, stale page|sector ->
 * CORRUPTED ...           spoils one behind its own back rate N, disk-rate N -> RATE pages=N
 * sectors=N  (a second)
 *
 * It takes its parameters from the kernel's command line: witness.arena (MiB), witness.rate (pages
 * a second), witness.disk_rate (records a second), witness.run (a number that tells runs apart).
 * With witness.hold=1 there it says HELD, does nothing, and takes them from the line that it is
 * then sent on the second serial port.
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    WORDS = PAGE / sizeof(uint64_t),
    RECORDS = 2048,     /* 8 MiB of the disk, used as a ring */
    TICK_MS = 20,       /* the grain of the work: short enough for an even load */
    HEARTBEAT_MS = 200, /* five a second: an outage of the guest is seen to a fifth of a second */
    SLACK_MS = 500,     /* after a longer stall the lost time is not caught up in a burst */
};

/* The header is part of the page; the pattern fills the rest of its words. */
typedef struct {
    uint64_t run, number, generation;
} Stamp;

enum { BODY = sizeof(Stamp) / sizeof(uint64_t) };

typedef struct {
    uint64_t *arena;    /* pages * PAGE */
    uint32_t *expected; /* generation of each page; the arena never vouches for itself */
    uint64_t pages, cursor, touched, passes;
    uint32_t sectors[RECORDS]; /* expected sequence number, 0: never written */
    uint64_t written;
    uint64_t *block;
    uint64_t run, random, errors, rate, disk_rate;
    int disk, console, command;
    char line[128];
    size_t line_len;
} Witness;

static void
say(Witness *w, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    text[len++] = '\n';
    for (int done = 0; done < len;) {
        ssize_t n = write(w->console, text + done, len - done);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        done += n > 0 ? n : 0;
    }
}

static uint64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
random_next(Witness *w)
{
    /* xorshift64*: quick, and the same everywhere */
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return w->random * UINT64_C(2685821657736338717);
}

static uint64_t
pattern_seed(const Stamp *stamp)
{
    uint64_t x = stamp->run ^ (stamp->number << 32) ^ stamp->generation;

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void
stamp_write(uint64_t *page, const Stamp *stamp)
{
    uint64_t word = pattern_seed(stamp);

    memcpy(page, stamp, sizeof *stamp);
    for (int i = BODY; i < WORDS; i++, word += UINT64_C(0x9e3779b97f4a7c15))
        page[i] = word;
}

/* Returns the first word that is not as `stamp` says, or -1. */
static int
stamp_compare(const uint64_t *page, const Stamp *stamp)
{
    uint64_t word = pattern_seed(stamp);
    uint64_t header[BODY];

    memcpy(header, stamp, sizeof *stamp);
    for (int i = 0; i < BODY; i++)
        if (page[i] != header[i])
            return i;
    for (int i = BODY; i < WORDS; i++, word += UINT64_C(0x9e3779b97f4a7c15))
        if (page[i] != word)
            return i;
    return -1;
}

static bool
check(Witness *w, const char *what, const uint64_t *page, uint64_t number, uint64_t generation)
{
    Stamp stamp = {w->run, number, generation}, found;
    int word = stamp_compare(page, &stamp);

    if (word < 0)
        return true;
    memcpy(&found, page, sizeof found);
    w->errors++;
    say(w, "BAD %s=%llu expected=%llu found=%llu word=%d", what, (unsigned long long)number,
        (unsigned long long)generation, (unsigned long long)found.generation, word);
    return false;
}

static uint64_t *
page_at(Witness *w, uint64_t number)
{
    return w->arena + number * WORDS;
}

static void
page_touch(Witness *w, uint64_t number)
{
    check(w, "page", page_at(w, number), number, w->expected[number]);

    Stamp stamp = {w->run, number, ++w->expected[number]};
    stamp_write(page_at(w, number), &stamp);
    w->touched++;
}

/* Half in order, so that every page has its turn; half at random, so that faults come from
 * everywhere. */
static void
memory_work(Witness *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i += 2) {
        page_touch(w, w->cursor);
        if (++w->cursor == w->pages) {
            w->cursor = 0;
            w->passes++;
        }
        page_touch(w, random_next(w) % w->pages);
    }
}

static bool
record_read(Witness *w, uint64_t slot)
{
    if (pread(w->disk, w->block, PAGE, slot * PAGE) == PAGE)
        return true;
    w->errors++;
    say(w, "BAD sector=%llu read: %s", (unsigned long long)slot, strerror(errno));
    return false;
}

static void
record_write(Witness *w, uint64_t slot, uint64_t sequence)
{
    Stamp stamp = {w->run, slot, sequence};

    stamp_write(w->block, &stamp);
    if (pwrite(w->disk, w->block, PAGE, slot * PAGE) != PAGE) {
        w->errors++;
        say(w, "BAD sector=%llu write: %s", (unsigned long long)slot, strerror(errno));
    }
}

static void
disk_work(Witness *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t slot = w->written++ % RECORDS;
        uint64_t earlier = random_next(w) % (w->written < RECORDS ? w->written : RECORDS);

        w->sectors[slot] = (uint32_t)w->written;
        record_write(w, slot, w->written);
        if (record_read(w, earlier))
            check(w, "sector", w->block, earlier, w->sectors[earlier]);
    }
}

static void
verify(Witness *w)
{
    uint64_t bad_pages = 0, sectors = 0, bad_sectors = 0;

    for (uint64_t i = 0; i < w->pages; i++)
        bad_pages += !check(w, "page", page_at(w, i), i, w->expected[i]);
    for (uint64_t i = 0; i < RECORDS; i++) {
        if (w->sectors[i] == 0)
            continue;
        sectors++;
        bad_sectors += !record_read(w, i) || !check(w, "sector", w->block, i, w->sectors[i]);
    }
    say(w, "VERIFY pages=%llu bad=%llu sectors=%llu bad=%llu errors=%llu",
        (unsigned long long)w->pages, (unsigned long long)bad_pages, (unsigned long long)sectors,
        (unsigned long long)bad_sectors, (unsigned long long)w->errors);
}

/* What a lost page (`corrupt`) and a page from an earlier time (`stale`) look like. */
static void
spoil(Witness *w, bool page, bool stale)
{
    uint64_t written = w->written < RECORDS ? w->written : RECORDS;
    uint64_t number = page ? random_next(w) % w->pages : written ? random_next(w) % written : 0;
    uint64_t *target = page ? page_at(w, number) : w->block;
    Stamp old = {w->run, number, (page ? w->expected[number] : w->sectors[number]) - 1};

    if (!page && !record_read(w, number))
        return;
    if (stale)
        stamp_write(target, &old);
    else
        target[WORDS - 1] ^= 1;
    if (!page && pwrite(w->disk, w->block, PAGE, number * PAGE) != PAGE)
        say(w, "BAD sector=%llu write: %s", (unsigned long long)number, strerror(errno));
    say(w, "CORRUPTED %s=%llu", page ? "page" : "sector", (unsigned long long)number);
}

static void
obey(Witness *w, const char *line)
{
    char what[16];
    unsigned long long value;

    if (strcmp(line, "verify") == 0) {
        verify(w);
    } else if (sscanf(line, "corrupt %15s", what) == 1 || sscanf(line, "stale %15s", what) == 1) {
        spoil(w, strcmp(what, "page") == 0, line[0] == 's');
    } else if (sscanf(line, "rate %llu", &value) == 1) {
        w->rate = value;
        say(w, "RATE pages=%llu sectors=%llu", (unsigned long long)w->rate,
            (unsigned long long)w->disk_rate);
    } else if (sscanf(line, "disk-rate %llu", &value) == 1) {
        w->disk_rate = value;
        say(w, "RATE pages=%llu sectors=%llu", (unsigned long long)w->rate,
            (unsigned long long)w->disk_rate);
    } else if (line[0]) {
        say(w, "UNKNOWN %s", line);
    }
}

static void
commands(Witness *w)
{
    char c;

    while (read(w->command, &c, 1) == 1) {
        if (c != '\n' && c != '\r') {
            if (w->line_len < sizeof w->line - 1)
                w->line[w->line_len++] = c;
            continue;
        }
        w->line[w->line_len] = 0;
        w->line_len = 0;
        obey(w, w->line);
    }
}

static void
run(Witness *w)
{
    uint64_t seq = 0, next = now_ms(), next_heartbeat = next, memory_due = 0, disk_due = 0;

    for (;;) {
        uint64_t now = now_ms();

        if (now < next) {
            usleep((next - now) * 1000);
            continue;
        }
        next = now - next > SLACK_MS ? now + TICK_MS : next + TICK_MS;

        /* Thousandths are carried over, so that small rates are kept too. */
        memory_due += w->rate * TICK_MS;
        memory_work(w, memory_due / 1000);
        memory_due %= 1000;
        disk_due += w->disk_rate * TICK_MS;
        disk_work(w, disk_due / 1000);
        disk_due %= 1000;
        commands(w);

        if (now >= next_heartbeat) {
            next_heartbeat = now + HEARTBEAT_MS;
            say(w, "HB seq=%llu ms=%llu pages=%llu passes=%llu sectors=%llu errors=%llu",
                (unsigned long long)++seq, (unsigned long long)now, (unsigned long long)w->touched,
                (unsigned long long)w->passes, (unsigned long long)w->written,
                (unsigned long long)w->errors);
        }
    }
}

static uint64_t
parameter(const char *cmdline, const char *name, uint64_t fallback)
{
    const char *at = strstr(cmdline, name);

    return at && at[strlen(name)] == '=' ? strtoull(at + strlen(name) + 1, NULL, 0) : fallback;
}

static int
open_serial(const char *path, int flags)
{
    struct termios raw;
    int fd = open(path, flags | O_NOCTTY);

    if (fd >= 0 && tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        raw.c_cflag |= CLOCAL;
        tcsetattr(fd, TCSANOW, &raw);
    }
    return fd;
}

static void *
map(size_t size)
{
    void *at =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* Waits for a line on the second serial port. */
static void
hold(Witness *w, char *line, size_t size)
{
    struct pollfd command = {.fd = w->command, .events = POLLIN};
    size_t len = 0;

    say(w, "HELD");
    for (;;) {
        if (read(w->command, line + len, 1) != 1)
            poll(&command, 1, -1);
        else if (line[len] == '\n')
            break;
        else if (len < size - 1)
            len++;
    }
    line[len] = 0;
}

static const char *
setup(Witness *w)
{
    char cmdline[2048] = {0};
    int fd = open("/proc/cmdline", O_RDONLY);

    if (fd < 0 || read(fd, cmdline, sizeof cmdline - 1) <= 0)
        return "/proc/cmdline";
    close(fd);
    w->command = open_serial("/dev/ttyS1", O_RDWR | O_NONBLOCK);
    if (w->command < 0)
        return "/dev/ttyS1";
    if (parameter(cmdline, "witness.hold", 0))
        hold(w, cmdline, sizeof cmdline);
    w->run = parameter(cmdline, "witness.run", 1);
    w->random = w->run | 1;
    w->rate = parameter(cmdline, "witness.rate", 4000);
    w->disk_rate = parameter(cmdline, "witness.disk_rate", 10);
    w->pages = parameter(cmdline, "witness.arena", 128) * 256;
    w->arena = map(w->pages * PAGE);
    w->expected = map(w->pages * sizeof *w->expected);
    w->block = map(PAGE);
    if (!w->arena || !w->expected || !w->block)
        return "memory";
    if (mlockall(MCL_CURRENT) < 0)
        return "mlockall";
    w->disk = open("/dev/vda", O_RDWR | O_DIRECT | O_SYNC);
    if (w->disk < 0)
        return "/dev/vda";
    for (uint64_t i = 0; i < w->pages; i++) {
        Stamp stamp = {w->run, i, ++w->expected[i]};
        stamp_write(page_at(w, i), &stamp);
    }
    return NULL;
}

int
main(void)
{
    static Witness w;
    const char *missing;

    w.console = open_serial("/dev/ttyS0", O_WRONLY);
    missing = setup(&w);
    if (missing) {
        say(&w, "FAILED %s: %s", missing, strerror(errno));
        return 1;
    }
    say(&w, "READY pages=%llu records=%d run=%llu", (unsigned long long)w.pages, RECORDS,
        (unsigned long long)w.run);
    run(&w);
}
