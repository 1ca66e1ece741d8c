package model

import (
	"fmt"
	"strings"
)

// A kind of table and of what the application does to it. What is empty is as in the first kind.
type kind struct {
	table     string // {ids} and {others} are its columns
	ids       func(n *notification) string
	users     userType
	createdAt string // the type of created_at
	trigger   trigger
	alters    alteration
}

// kinds are the dimensions over which the model runs, each value of them in one kind at least.
var kinds = map[string]kind{
	"plain":            {},
	"hash of the user": {table: byUser, ids: perUser},
	"range of time":    {table: byTime, ids: perTime, users: domains},
	"view":             {table: view, users: bigints},
	"view, without a zone, some vetoed": {
		table: view, createdAt: "timestamp", trigger: vetoes,
	},
	"repeated ids, some vetoed": {table: keyed, ids: perUser, users: uuids, trigger: vetoes},
	"users spelled in two ways": {table: byUser, ids: perUser, users: spelled},
	"without a zone, status written": {
		table: byTime, ids: perTime, createdAt: "timestamp", trigger: marks,
	},
	"uuids, written once more":         {users: uuids, trigger: writesOnceMore},
	"by time, written once more":       {table: byTime, trigger: writesOnceMore},
	"undone afterwards":                {users: bigints, trigger: undoes},
	"view, undone afterwards":          {table: view, trigger: undoes},
	"seconds, later microseconds":      {createdAt: "timestamptz(0)", alters: createdAtWidens},
	"short names, later long ones":     {users: shortNames, alters: usersWiden, trigger: vetoes},
	"another type in between, adopted": {users: integers, alters: usersChange},
}

// On Citus updates go through no view, and no key spans shards.
var distributedKinds = map[string]kind{
	"the user last":  {table: `CREATE TABLE inbox ({ids}, {others}, PRIMARY KEY (id, user_id))`},
	"the user first": {table: `CREATE TABLE inbox ({ids}, {others}, PRIMARY KEY (user_id, id))`},
}

// The tables. In them everything but the id may be NULL.
const (
	plain  = `CREATE TABLE inbox ({ids} PRIMARY KEY, {others})`
	keyed  = `CREATE TABLE inbox ({ids}, {others}, UNIQUE (user_id, id))`
	byUser = `
		CREATE TABLE inbox ({ids}, {others}, UNIQUE (id, user_id)) PARTITION BY HASH (user_id);
		CREATE TABLE inbox_0 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE inbox_1 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE inbox_2 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 2)`
	byTime = `
		CREATE TABLE inbox ({ids}, {others}, UNIQUE (id, created_at)) PARTITION BY RANGE (created_at);
		CREATE TABLE early PARTITION OF inbox FOR VALUES FROM ('2025-01-02Z') TO ('2025-01-03Z')
			PARTITION BY HASH (id);
		CREATE TABLE early_0 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE early_1 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE middle PARTITION OF inbox FOR VALUES FROM ('2025-01-03Z') TO ('2025-01-05Z');
		CREATE TABLE others PARTITION OF inbox DEFAULT`
	view = byUser + `;
		ALTER TABLE inbox RENAME id TO number;
		ALTER TABLE inbox RENAME user_id TO recipient;
		ALTER TABLE inbox RENAME deleted_at TO gone;
		CREATE VIEW notifications AS
		SELECT
			ctid,
			tableoid,
			number AS id,
			seq,
			recipient AS user_id,
			status,
			created_at,
			gone AS deleted_at
		FROM inbox`
)

// Among which notifications an id stands once.
var (
	amongAll = func(*notification) string { return "" }
	perUser  = func(n *notification) string { return n.user }
	perTime  = func(n *notification) string { return n.createdAt }
)

// A userType is a type of user_id, and four users of it as literals. How a user may be spelled in
// other ways that are equal, spellings tells.
type userType struct {
	before, name string // a statement that has to come first; the type
	users        []string
	spellings    func(user string) []string
}

var (
	texts    = userType{name: "text", users: literals("alice", "bob", "carol", "dave")}
	bigints  = userType{name: "bigint", users: literals("-7", "1", "2", "9223372036854775807")}
	integers = userType{name: "integer", users: literals("-7", "1", "2", "2147483647")}
	uuids    = userType{name: "uuid", users: literals(
		"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ffffffff-ffff-ffff-ffff-ffffffffffff",
	)}
	domains = userType{
		before: "CREATE DOMAIN person AS varchar(9) CHECK (value <> '')",
		name:   "person",
		users:  texts.users,
	}
	spelled = userType{
		before: `
			CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		name:      "text COLLATE ci",
		users:     texts.users,
		spellings: func(user string) []string { return []string{user, strings.ToUpper(user)} },
	}
	// The later ones begin as a former one.
	shortNames = userType{name: "varchar(4)", users: literals("anna", "annb", "annbe", "annbert")}
)

func literals(values ...string) (quoted []string) {
	for _, value := range values {
		quoted = append(quoted, "'"+value+"'")
	}
	return quoted
}

// A trigger is of the application's, on inbox. Its columns are {deleted_at} and seq.
type trigger struct {
	statements string
	vetoes     func(o operation, n *notification) bool
	deleted    func(n *notification) // what becomes of one that is soft-deleted
}

// An operation is what a trigger may veto.
type operation string

const (
	softDelete operation = "soft-delete"
	restore    operation = "restore"
	purge      operation = "purge"
)

const onChange = `
	CREATE FUNCTION on_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s END $$;
	CREATE TRIGGER on_change %s ON inbox FOR EACH ROW EXECUTE FUNCTION on_change()`

var (
	vetoes = trigger{
		statements: fmt.Sprintf(onChange, `
			IF TG_OP = 'DELETE' THEN
				RETURN CASE WHEN OLD.seq % 5 <> 2 THEN OLD END;
			ELSIF OLD.{deleted_at} IS NULL AND NEW.{deleted_at} IS NOT NULL THEN
				RETURN CASE WHEN OLD.seq % 5 <> 0 THEN NEW END;
			ELSIF OLD.{deleted_at} IS NOT NULL AND NEW.{deleted_at} IS NULL THEN
				RETURN CASE WHEN OLD.seq % 5 <> 1 THEN NEW END;
			END IF;
			RETURN NEW;`, "BEFORE UPDATE OR DELETE"),
		vetoes: func(o operation, n *notification) bool {
			return n.seq%5 == map[operation]int{softDelete: 0, restore: 1, purge: 2}[o]
		},
	}
	// As vetoes, but by a statement of its own, and not on DELETE.
	undoes = trigger{
		statements: fmt.Sprintf(onChange, `
			UPDATE public.inbox SET {deleted_at} = OLD.{deleted_at}
			WHERE seq = NEW.seq
				AND OLD.seq % 5 = CASE WHEN NEW.{deleted_at} IS NULL THEN 1 ELSE 0 END;
			RETURN NULL;`, "AFTER UPDATE OF {deleted_at}"),
		vetoes: func(o operation, n *notification) bool {
			return n.seq%5 == map[operation]int{softDelete: 0, restore: 1, purge: 5}[o]
		},
	}
	marks = trigger{
		statements: fmt.Sprintf(onChange, `
			IF OLD.{deleted_at} IS NULL AND NEW.{deleted_at} IS NOT NULL THEN
				NEW.status := 'archived';
			END IF;
			RETURN NEW;`, "BEFORE UPDATE"),
		deleted: func(n *notification) { n.status = "'archived'" },
	}
	writesOnceMore = trigger{
		statements: fmt.Sprintf(onChange, `
			UPDATE public.inbox SET changes = changes + 1 WHERE seq = NEW.seq;
			RETURN NULL;`, "AFTER UPDATE OF {deleted_at}"),
	}
)

// An alteration of a column's type. One to a wider type is nobody's business. After another one
// nothing works until the table has been adopted anew, and then with all that is written in
// either type.
type alteration struct {
	column, from, to string
	isOther          bool
	before, after    limits
}

// limits are what of the model's values a type takes.
type limits struct {
	users        int  // the first of them; 0: all
	microseconds bool // of created_at
}

var (
	usersWiden = alteration{
		column: "user_id",
		from:   "varchar(4)",
		to:     "varchar(10)",
		before: limits{users: 2},
	}
	createdAtWidens = alteration{
		column: "created_at",
		from:   "timestamptz(0)",
		to:     "timestamptz",
		after:  limits{microseconds: true},
	}
	usersChange = alteration{
		column:  "user_id",
		from:    "integer",
		to:      "bigint",
		isOther: true,
	}
)

// filled is the kind with what it left out.
func (k kind) filled() kind {
	if k.table == "" {
		k.table = plain
	}
	if k.ids == nil {
		k.ids = amongAll
	}
	if k.users.users == nil {
		k.users = texts
	}
	if k.users.spellings == nil {
		k.users.spellings = func(user string) []string { return []string{user} }
	}
	if k.createdAt == "" {
		k.createdAt = "timestamptz"
	}
	if k.trigger.vetoes == nil {
		k.trigger.vetoes = func(operation, *notification) bool { return false }
	}
	if k.trigger.deleted == nil {
		k.trigger.deleted = func(*notification) {}
	}
	return k
}

// name is the name of the table that has the rows.
func (k kind) name() string {
	if k.table == view {
		return "inbox"
	}
	return "notifications"
}

// statements create it. Four notifications fill a page, so that a run has several batches.
func (k kind) statements() []string {
	deletedAt := "deleted_at"
	if k.table == view {
		deletedAt = "gone"
	}
	replacer := strings.NewReplacer(
		" inbox ", " "+k.name()+" ",
		"public.inbox ", "public."+k.name()+" ",
		"{deleted_at}", deletedAt,
		"{ids}", "id bigint NOT NULL",
		"{others}", `
			seq integer,
			user_id `+k.users.name+`,
			status text,
			created_at `+k.createdAt+`,
			deleted_at timestamptz,
			changes integer DEFAULT 0,
			filler text DEFAULT repeat('x', 1900)`,
	)
	return []string{
		k.users.before,
		replacer.Replace(k.table),
		replacer.Replace("ALTER TABLE inbox ALTER filler SET STORAGE PLAIN"),
		replacer.Replace(k.trigger.statements),
	}
}
