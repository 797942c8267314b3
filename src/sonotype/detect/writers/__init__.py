"""Files of detected events: tables of many recordings, and label files of other programs."""
