"""The timers room: times at which runs are woken: ends of sleeps and of retry delays."""
