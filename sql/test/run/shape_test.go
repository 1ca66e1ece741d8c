package run

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// node is a part of a plan, as auto_explain prints it.
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Loops    float64 `json:"Actual Loops"`
	Plans    []node
}

// walk calls see for the node and all below it.
func (n node) walk(see func(node)) {
	see(n)
	for _, child := range n.Plans {
		child.walk(see)
	}
}

// plansOf returns the plans of what was executed while do ran in the session, of statements that
// contain this text.
func plansOf(d *pgtest.Database, text string, do func(session *pgtest.Database)) (plans []node) {
	session, notices := d.WithNotices()
	session.Exec(`
		LOAD 'auto_explain';
		SET auto_explain.log_min_duration = 0;
		SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_analyze = on;
		SET auto_explain.log_timing = off;
		SET auto_explain.log_format = json;
		SET auto_explain.log_level = notice`)
	do(session)
	logged := regexp.MustCompile(`(?m)^duration: [0-9.]+ ms  plan:$`).Split(notices(), -1)
	for _, printed := range logged[1:] {
		var statement struct {
			Query string `json:"Query Text"`
			Plan  node
		}
		decoder := json.NewDecoder(strings.NewReader(printed))
		if err := decoder.Decode(&statement); err != nil {
			d.T.Fatalf("%v in %s", err, printed)
		}
		if strings.Contains(statement.Query, text) {
			plans = append(plans, statement.Plan)
		}
	}
	return plans
}

// A batch looks for its rows in one pass for the lock and one for the update, each of them one scan
// of the places in one partition. A scan for each row would ask for the size of the table each
// time.
func TestABatchIsTwoTidScansOfOnePartition(t *testing.T) {
	t.Parallel()
	eachKindAndStatistics(t, func(d *pgtest.Database) {
		run := d.Plan("100, 10, 20")
		plans := plansOf(d, "SKIP LOCKED\n    )", func(session *pgtest.Database) {
			if n := session.Batch(run); n != 20 {
				d.T.Errorf("the batch deleted %d of 20", n)
			}
		})
		if len(plans) != 1 {
			d.T.Fatalf("a batch is %d statements, want one", len(plans))
		}
		tidScans := map[string]float64{}
		plans[0].walk(func(n node) {
			switch {
			case n.Loops == 0: // never executed
			case n.Type == "Tid Scan":
				tidScans[n.Relation] += n.Loops
			case strings.HasSuffix(n.Type, "Scan") && n.Relation != "":
				d.T.Errorf("%s on %s", n.Type, n.Relation)
			case n.Type == "Nested Loop":
				d.T.Error("a nested loop")
			}
		})
		if len(tidScans) != 1 {
			d.T.Errorf("executed Tid Scans on %v, want one table", tidScans)
		}
		for table, n := range tidScans {
			if n != 2 {
				d.T.Errorf("executed %v Tid Scans on %s, want two", n, table)
			}
		}
	})
}
