# One task in a container: greets, and says how much memory it may use.
# There is no PATH with programs in here: whatever is not built into the shell is called by name.
limit() {
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    if [ -r "$file" ]; then
      read -r bytes <"$file"
      echo "$((bytes / 1048576)) MiB"
      return
    fi
  done
  echo "unknown"
}

echo "$GREETING, $1: task $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT"
echo "memory limit: $(limit)"
