"""The Cloud Scheduler API v1: its jobs are our schedules."""
