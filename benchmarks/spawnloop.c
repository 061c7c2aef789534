/* The floor of a fan-out of processes: posix_spawn and waitpid, and nothing else.
 *
 *   gcc -O2 -o spawnloop spawnloop.c
 *   spawnloop TASKS PARALLELISM LOGS PROGRAM [ARG...]
 *
 * LOGS is "none" (output goes to /dev/null) or a directory that gets one log file per task.
 * Prints JSON: seconds from the first spawn to the last wait, and how many tasks failed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: spawnloop TASKS PARALLELISM none|DIRECTORY PROGRAM [ARG...]\n");
    return 2;
  }
  int tasks = atoi(argv[1]), parallelism = atoi(argv[2]), capture = strcmp(argv[3], "none") != 0;
  char **command = argv + 4, path[4096];
  int null = open("/dev/null", O_RDWR | O_CLOEXEC), started = 0, done = 0, failed = 0;
  double first = now();
  while (done < tasks) {
    while (started < tasks && started - done < parallelism) {
      int out = null;
      if (capture) {
        snprintf(path, sizeof path, "%s/%d.log", argv[3], started);
        out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (out < 0) { perror(path); return 1; }
      }
      posix_spawn_file_actions_t actions;
      posix_spawn_file_actions_init(&actions);
      posix_spawn_file_actions_adddup2(&actions, null, 0);
      posix_spawn_file_actions_adddup2(&actions, out, 1);
      posix_spawn_file_actions_adddup2(&actions, out, 2);
      pid_t pid;
      int error = posix_spawn(&pid, command[0], &actions, NULL, command, environ);
      if (error) { fprintf(stderr, "%s: %s\n", command[0], strerror(error)); return 1; }
      posix_spawn_file_actions_destroy(&actions);
      if (capture) close(out);
      started++;
    }
    int status;
    if (waitpid(-1, &status, 0) < 0) { perror("waitpid"); return 1; }
    if (status) failed++;
    done++;
  }
  printf("{\"seconds\": %.6f, \"tasks\": %d, \"failed\": %d}\n", now() - first, tasks, failed);
  return 0;
}
