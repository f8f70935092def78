"""The cron room: ticks of functions' schedules."""
