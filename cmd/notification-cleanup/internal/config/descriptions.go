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
		help:  "live notifications a user may have before the cleanup acts",
	},
	"MIN_KEEP": {
		group: rule,
		value: "N",
		help:  "newest read notifications that each user keeps",
	},
	"MAX_DELETIONS": {
		group: rule,
		value: "N",
		help:  "write nothing and fail where more is to be deleted (default: no limit)",
	},
	"CREATE_TABLE": {
		help: "create a table notifications though another table looks like one",
	},
	"SUSPEND": {
		value: "REASON",
		help:  "suspend the job first, so that the next run does not undo this",
	},
	"LIMIT": {
		value: "N",
		help:  "how many runs to show",
	},
	"MAX_AGE": {
		value: "TIME",
		help:  "unhealthy when no run has finished for longer",
	},
	"DRY_RUN": {
		help: "say what would be done, and write nothing",
	},
	"TOP": {
		value: "N",
		help:  "show no more users (default: 20 on a terminal, all elsewhere)",
	},
	"RETENTION": {
		value: "TIME",
		help:  "how long deleted notifications can still be restored",
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
		help:  "after each batch rest X times as long as it took",
	},
	"MAX_REPLICA_LAG": {
		group: pace,
		value: "TIME",
		help: "before each batch wait until no standby and no logical slot is further behind, " +
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
		help:    "of the result on stdout: text, or json (an object a line)",
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
