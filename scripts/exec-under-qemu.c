/* Lets programs for ARM be started on another machine whose kernel has no binfmt_misc entry for them (containers).
 *
 * check-aarch64 builds it twice and preloads it: GUEST into emulated programs, HOST into those of the host that these start
 * (a shell, setpriv), which may start ARM programs again. It stands in front of the functions by which Rust's standard
 * library, dash and setpriv start programs: a path that leads to an AArch64 ELF file becomes
 * `QEMU -E LD_PRELOAD=GUEST -0 argv[0] path argv[1..]`. QEMU, GUEST and HOST are paths, given when it is compiled.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS 4096

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const[], char *const[]);

static spawn_function *spawn;

__attribute__((constructor)) static void start(void) {
    spawn = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawn");
    if (spawn == NULL)
        abort();
}

/* The path that execvp(3) would take, or an error number. Not left to the kernel: under qemu-user an emulated posix_spawn
 * succeeds even where its exec fails, because the child does not share the memory in which it reports that. */
static int find(const char *file, char path[PATH_MAX]) {
    const char *folder = getenv("PATH");
    if (strchr(file, '/') != NULL) {
        snprintf(path, PATH_MAX, "%s", file);
        return access(path, X_OK) == 0 ? 0 : errno;
    }
    while (folder != NULL) {
        const char *end = strchrnul(folder, ':');
        snprintf(path, PATH_MAX, "%.*s/%s", (int)(end - folder), folder, file);
        if (access(path, X_OK) == 0)
            return 0;
        folder = *end == ':' ? end + 1 : NULL;
    }
    return ENOENT;
}

static int is_aarch64(const char *path) {
    Elf64_Ehdr header;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, &header, sizeof header);
    if (file >= 0)
        close(file);
    return length == sizeof header && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == EM_AARCH64;
}

/* What the kernel is to start instead: the file, and its arguments and environment on the caller's stack. */
struct command {
    char path[PATH_MAX];
    const char *file;
    char *arguments[WORDS];
    char *environment[WORDS];
};

static int translate(const char *file, char *const arguments[], char *const environment[], struct command *command) {
    size_t count = 0;
    int error = find(file, command->path);
    if (error != 0)
        return error;
    command->file = command->path;
    if (is_aarch64(command->path)) {
        char *const emulator[] = {QEMU, "-E", "LD_PRELOAD=" GUEST, "-0", arguments[0], command->path};
        memcpy(command->arguments, emulator, sizeof emulator);
        command->file = QEMU;
        count = sizeof emulator / sizeof *emulator;
        arguments++;
    }
    for (; *arguments != NULL; arguments++) {
        if (count == WORDS - 1)
            return E2BIG;
        command->arguments[count++] = *arguments;
    }
    command->arguments[count] = NULL;
    command->environment[0] = "LD_PRELOAD=" HOST;
    for (count = 1; *environment != NULL; environment++) {
        if (strncmp(*environment, "LD_PRELOAD=", 11) == 0)
            continue;
        if (count == WORDS - 1)
            return E2BIG;
        command->environment[count++] = *environment;
    }
    command->environment[count] = NULL;
    return 0;
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const arguments[], char *const environment[]) {
    struct command command;
    int error = translate(file, arguments, environment, &command);
    return error != 0 ? error : spawn(pid, command.file, actions, attributes, command.arguments, command.environment);
}

int execve(const char *file, char *const arguments[], char *const environment[]) {
    struct command command;
    /* Unlike execvp, it does not look along PATH. */
    int error = strchr(file, '/') == NULL ? ENOENT : translate(file, arguments, environment, &command);
    if (error == 0)
        return (int)syscall(SYS_execve, command.file, command.arguments, command.environment);
    errno = error;
    return -1;
}

int execvp(const char *file, char *const arguments[]) {
    char path[PATH_MAX];
    int error = find(file, path);
    if (error == 0)
        return execve(path, arguments, environ);
    errno = error;
    return -1;
}
