/*
 * library.c: whether a library is all there
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "module/library.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* TRUE too when the file has another byte order or width: dlopen() refuses it. */
static bool
segments_fit(int fd, off_t size)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;

    if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
        return false;
    if (header.e_phentsize != sizeof(segment))
        return true;
    for (unsigned int i = 0; i < header.e_phnum; i++) {
        off_t at = header.e_phoff + i * sizeof(segment);

        if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
            return false;
        if (segment.p_type == PT_LOAD && segment.p_offset + segment.p_filesz > (ElfW(Off))size)
            return false;
    }
    return true;
}

bool
library_is_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char magic[SELFMAG];
    struct stat status;
    bool whole = true;

    if (fd < 0)
        return true;
    if (fstat(fd, &status) == 0 && pread(fd, magic, SELFMAG, 0) == SELFMAG &&
        memcmp(magic, ELFMAG, SELFMAG) == 0)
        whole = segments_fit(fd, status.st_size);
    close(fd);
    return whole;
}
