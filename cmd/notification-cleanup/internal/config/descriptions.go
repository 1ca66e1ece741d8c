package config

// The headings of the help, in their order. What only one command takes comes first, under none.
const (
	own        = ""
	rule       = "The rule"
	pace       = "Pace"
	output     = "Output"
	connection = "Connection"
)

// Groups are the headings of the help, in their order.
var Groups = []string{own, rule, pace, output, connection}

// description is what the help says of a setting.
type description struct {
	group   string
	value   string // stands for the value
	help    string
	choices []string // what it takes, unless it takes anything
}

// descriptions are those of all settings, by the names of their variables.
var descriptions = map[string]description{
	"MAX_NOTIFICATIONS": {
		group: rule,
		value: "N",
		help:  "live notifications that a user may have",
	},
	"MIN_KEEP": {
		group: rule,
		value: "N",
		help:  "newest read notifications that each user keeps",
	},
	"MAX_DELETIONS": {
		group: rule,
		value: "N",
		help:  "fail and write nothing if more is to be deleted (default: no limit)",
	},
	"CREATE_TABLE": {
		help: "create a table notifications although another table looks like it",
	},
	"SUSPEND": {
		value: "REASON",
		help:  "suspend the cleanup first, so that no run deletes the same again",
	},
	"LIMIT": {
		value: "N",
		help:  "how many runs to show",
	},
	"MAX_AGE": {
		value: "TIME",
		help:  "fail if no run has finished for longer",
	},
	"DRY_RUN": {
		help: "say what would be done, and write nothing",
	},
	"TOP": {
		value: "N",
		help:  "how many users to show (default: 20 on a terminal, otherwise all)",
	},
	"RETENTION": {
		value: "TIME",
		help:  "how long a soft-deleted notification can still be restored",
	},
	"WORKERS": {
		group: pace,
		value: "N",
		help:  "batches at the same time, each on its own connection",
	},
	"BATCH_SIZE": {
		group: pace,
		value: "N",
		help:  "notifications in a transaction",
	},
	"PAUSE_FACTOR": {
		group: pace,
		value: "X",
		help:  "after each batch, rest X times as long as the batch took",
	},
	"MAX_REPLICA_LAG": {
		group: pace,
		value: "TIME",
		help: "before each batch, wait until no standby and no slot is further behind, " +
			"such as 30s (default: no limit)",
	},
	"TIMEOUT": {
		group: pace,
		value: "TIME",
		help:  "stop early after this time, such as 30m or '2 hours' (default: no limit)",
	},
	"FORMAT": {
		group:   output,
		value:   "WORD",
		help:    "of the result on stdout: text, or json (one object a line)",
		choices: []string{"text", "json", "prometheus"},
	},
	"LOG_FORMAT": {
		group:   output,
		value:   "WORD",
		help:    "of the log on stderr: text or json",
		choices: []string{"text", "json"},
	},
	"DATABASE_URL": {
		group: connection,
		value: "URL",
		help:  "postgres://user:password@host/database (default: the PG* variables)",
	},
	"SCHEMA": {
		group: connection,
		value: "NAME",
		help:  "schema of the notifications table (default: the search_path of the connection)",
	},
}
