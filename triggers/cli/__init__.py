"""The commands of the trigger layer, within the frame of jobrunner's command line."""
