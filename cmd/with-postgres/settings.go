package main

import "slices"

// throwAwaySettings trade safety for speed, as no data outlives the command. Dynamic shared memory
// lies with the data because the /dev/shm of a container is often too small for a parallel query.
var throwAwaySettings = []string{
	"listen_addresses=''",
	"port=5432",
	"max_connections=200",
	"timezone=UTC",
	"log_timezone=UTC",
	"fsync=off",
	"synchronous_commit=off",
	"full_page_writes=off",
	"shared_buffers=256MB",
	"max_wal_size=4GB",
	"dynamic_shared_memory_type=mmap",
}

// durableSettings undo what throwAwaySettings do for speed, for measurements.
var durableSettings = []string{
	"fsync=on",
	"synchronous_commit=on",
	"full_page_writes=on",
	"shared_buffers=1GB",
	"max_wal_size=8GB",
	"checkpoint_timeout=15min",
}

// cronSettings load pg_cron where its package is installed. Background workers need no pg_hba
// entry.
var cronSettings = []string{
	"shared_preload_libraries=pg_cron",
	"cron.database_name=postgres",
	"cron.use_background_workers=on",
	"max_worker_processes=16",
}

// citusSettings load Citus, which has a worker process in each database, and opens connections
// between the nodes.
var citusSettings = []string{
	"shared_preload_libraries=citus",
	"max_worker_processes=100",
	"max_connections=500",
	"citus.enable_statistics_collection=off",
}

// settingsFor are the lines of postgresql.conf, of which the last one for a setting counts.
func settingsFor(o options, bin string) []string {
	settings := slices.Clone(throwAwaySettings)
	if o.durable {
		settings = append(settings, durableSettings...)
	}
	if hasFile(bin, "../lib/pg_cron.so") {
		settings = append(settings, cronSettings...)
	}
	if o.citus {
		settings = append(settings, citusSettings...)
	}
	return settings
}
