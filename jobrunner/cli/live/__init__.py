"""What is shown while an execution runs: progress, output of tasks, and the summary at the end."""
