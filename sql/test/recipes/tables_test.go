package recipes

// made are the notifications that each application has, in the words of none: of six users and two
// teams, the newest first, two of each time, and half a day between those. Their ages are three
// hours from a number of days, so that neither the hour of a test matters nor summer time.
const made = `
	CREATE TABLE made AS
	SELECT
		m.id,
		m.owner_type,
		m.owner,
		CASE
			WHEN m.dice < 600 THEN 'comment'
			WHEN m.dice < 930 THEN 'like'
			WHEN m.dice < 980 THEN 'invoice'
			ELSE 'security'
		END AS kind,
		m.owner <> 5 AND m.other_dice < 700 AS read,
		date_trunc('second', now()) - interval '3 hours' - m.age * interval '12 hours' AS at
	FROM (
		SELECT
			(row_number() OVER ())::integer AS id,
			inbox.owner_type,
			inbox.owner,
			n / 2 AS age,
			abs(hashint4(n * 7 + inbox.owner)::bigint) % 1000 AS dice,
			abs(hashint4(n * 13 + inbox.owner)::bigint) % 1000 AS other_dice
		FROM (VALUES
			('User', 1, 1000),
			('User', 2, 1001),
			('User', 3, 1500),
			('User', 4, 2200),
			('User', 5, 1300),
			('User', 6, 1),
			('Team', 1, 1200),
			('Team', 3, 200)
		) AS inbox (owner_type, owner, size)
		CROSS JOIN generate_series(1, inbox.size) AS n
	) AS m;
	CREATE TABLE users AS
	SELECT
		u AS id,
		CASE WHEN u IN (1, 3) THEN 'free' ELSE 'paid' END AS plan,
		u = 4 AS keeps_everything
	FROM generate_series(1, 20000) AS u;
	ALTER TABLE users ADD PRIMARY KEY (id)`

// application is a table as some framework or some application makes it.
type application struct {
	table  string // with its schema
	create string
	fill   string // puts what was made into it, in no particular order
}

const scattered = " ORDER BY hashint4(m.id)"

var fitting = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id uuid PRIMARY KEY,
			user_id text NOT NULL,
			title text NOT NULL,
			status varchar(20) DEFAULT 'unread',
			created_at timestamptz
		);
		CREATE INDEX ON notifications (user_id, created_at DESC)`,
	fill: `
		INSERT INTO notifications
		SELECT
			lpad(m.id::text, 32, '0')::uuid,
			m.owner_type || m.owner,
			m.kind,
			CASE WHEN m.read THEN 'read' ELSE 'unread' END,
			m.at
		FROM made AS m` + scattered,
}

var laravel = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id uuid PRIMARY KEY,
			type varchar(255) NOT NULL,
			notifiable_type varchar(255) NOT NULL,
			notifiable_id bigint NOT NULL,
			data text NOT NULL,
			read_at timestamp(0),
			created_at timestamp(0),
			updated_at timestamp(0)
		);
		CREATE INDEX ON notifications (notifiable_type, notifiable_id)`,
	fill: `
		INSERT INTO notifications
		SELECT
			lpad(m.id::text, 32, '0')::uuid,
			'App\Notifications\' || m.kind,
			'App\Models\' || m.owner_type,
			m.owner,
			'{}',
			CASE WHEN m.read THEN m.at AT TIME ZONE 'UTC' END,
			m.at AT TIME ZONE 'UTC',
			m.at AT TIME ZONE 'UTC'
		FROM made AS m` + scattered,
}

var rails = application{
	table: "public.noticed_notifications",
	create: `
		CREATE TABLE noticed_notifications (
			id bigserial PRIMARY KEY,
			type varchar,
			event_id bigint NOT NULL,
			recipient_type varchar NOT NULL,
			recipient_id bigint NOT NULL,
			read_at timestamp(6),
			seen_at timestamp(6),
			created_at timestamp(6) NOT NULL,
			updated_at timestamp(6) NOT NULL
		);
		CREATE INDEX ON noticed_notifications (event_id);
		CREATE INDEX ON noticed_notifications (recipient_type, recipient_id)`,
	fill: `
		INSERT INTO noticed_notifications
		SELECT
			m.id,
			m.kind || 'Notifier::Notification',
			m.id,
			m.owner_type,
			m.owner,
			CASE WHEN m.read THEN m.at AT TIME ZONE 'UTC' END,
			NULL,
			m.at AT TIME ZONE 'UTC',
			m.at AT TIME ZONE 'UTC'
		FROM made AS m` + scattered,
}

var django = application{
	table: "public.notifications_notification",
	create: `
		CREATE TABLE notifications_notification (
			id serial PRIMARY KEY,
			level varchar(20) NOT NULL,
			unread boolean NOT NULL,
			actor_object_id varchar(255) NOT NULL,
			verb varchar(255) NOT NULL,
			"timestamp" timestamptz NOT NULL,
			public boolean NOT NULL,
			deleted boolean NOT NULL,
			emailed boolean NOT NULL,
			recipient_id integer NOT NULL
		);
		CREATE INDEX ON notifications_notification (recipient_id, unread)`,
	fill: `
		INSERT INTO notifications_notification
		SELECT
			m.id,
			'info',
			NOT m.read,
			m.owner_type,
			m.kind,
			m.at,
			true,
			m.kind = 'security',
			false,
			m.owner
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered,
}

var prisma = application{
	table: `public."Notification"`,
	create: `
		CREATE TABLE "Notification" (
			id text PRIMARY KEY,
			"userId" text NOT NULL,
			"readAt" timestamp(3),
			"createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
		);
		CREATE INDEX ON "Notification" ("userId")`,
	fill: `
		INSERT INTO "Notification"
		SELECT
			'c' || lpad(m.id::text, 8, '0'),
			'user ' || m.owner,
			CASE WHEN m.read THEN m.at AT TIME ZONE 'UTC' END,
			m.at AT TIME ZONE 'UTC'
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered,
}

var receipts = application{
	table: "public.messages",
	create: `
		CREATE TABLE messages (
			id bigint PRIMARY KEY,
			recipient_id bigint NOT NULL,
			sent_at timestamptz NOT NULL
		);
		CREATE TABLE receipts (
			message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE,
			device text NOT NULL,
			read_at timestamptz NOT NULL,
			PRIMARY KEY (message_id, device)
		)`,
	fill: `
		INSERT INTO messages
		SELECT
			m.id,
			m.owner,
			m.at
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered + `;
		INSERT INTO receipts
		SELECT
			m.id,
			device,
			m.at
		FROM made AS m
		CROSS JOIN unnest('{phone,laptop}'::text[]) AS device
		WHERE m.owner_type = 'User' AND m.read`,
}

var partitioned = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id bigint NOT NULL,
			user_id bigint NOT NULL,
			status text NOT NULL,
			created_at timestamptz NOT NULL,
			PRIMARY KEY (id, created_at)
		) PARTITION BY RANGE (created_at);
		DO $$
		BEGIN
			FOR month IN -20..1 LOOP
				EXECUTE format(
					'CREATE TABLE notifications_%s PARTITION OF notifications'
					' FOR VALUES FROM (%L) TO (%L)',
					month + 20,
					date_trunc('month', now()) + month * interval '1 month',
					date_trunc('month', now()) + (month + 1) * interval '1 month'
				);
			END LOOP;
		END $$`,
	fill: `
		INSERT INTO notifications
		SELECT
			m.id,
			m.owner,
			CASE WHEN m.read THEN 'read' ELSE 'unread' END,
			m.at
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered,
}

var distributed = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id bigint NOT NULL,
			user_id bigint NOT NULL,
			status text NOT NULL,
			created_at timestamptz NOT NULL,
			PRIMARY KEY (id, user_id)
		)`,
	fill: partitioned.fill,
}

// plain is the table of the chapter on other rules.
var plain = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id bigint PRIMARY KEY,
			user_id bigint NOT NULL,
			type text NOT NULL,
			read_at timestamptz,
			created_at timestamptz NOT NULL
		)`,
	fill: `
		INSERT INTO notifications
		SELECT
			m.id,
			m.owner,
			m.kind,
			CASE WHEN m.read THEN m.at END,
			m.at
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered,
}

// naive is the same with times that do not say in which zone they are.
var naive = application{
	table: "public.notifications",
	create: `
		CREATE TABLE notifications (
			id bigint PRIMARY KEY,
			user_id bigint NOT NULL,
			type text NOT NULL,
			read_at timestamp,
			created_at timestamp NOT NULL
		)`,
	fill: `
		INSERT INTO notifications
		SELECT
			m.id,
			m.owner,
			m.kind,
			CASE WHEN m.read THEN m.at AT TIME ZONE 'UTC' END,
			m.at AT TIME ZONE 'UTC'
		FROM made AS m
		WHERE m.owner_type = 'User'` + scattered,
}
