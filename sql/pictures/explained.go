package main

// inbox is one user's notifications before and after a run. A box stands for 20.
func inbox() (string, error) {
	c := newCanvas(760, 232, "An inbox of 1,400 notifications, newest left. The 200 unread ones stay,"+
		" the 100 newest read ones stay, and 1,100 older read ones go. 300 are left.")
	const boxes, unreadEvery = 70, 7
	strip := func(y float64, after bool) {
		kept := 5
		for i := range boxes {
			class := "goes"
			switch {
			case i%unreadEvery == 2:
				class = "unread"
			case kept > 0:
				kept--
				class = "kept"
			case after:
				class = "gone"
			}
			c.box(10+float64(i)*10.6, y, 8, 30, class)
		}
	}
	c.text(10, 22, "title", "Before: 1,400 notifications of one user, newest left")
	strip(34, false)
	c.text(10, 106, "title", "After a run: 300 are left")
	strip(118, true)
	c.text(750, 106, "small muted end", "the others have a deleted_at, and can be restored")
	for i, entry := range []struct{ class, words string }{
		{"unread", "unread: stays"},
		{"kept", "the 100 newest read: stay"},
		{"goes", "older read: go"},
		{"gone", "soft-deleted"},
	} {
		x := []float64{10, 150, 370, 520}[i]
		c.box(x, 182, 12, 12, entry.class)
		c.text(x+20, 193, "small", entry.words)
	}
	c.text(10, 221, "small muted",
		"A box stands for 20 notifications. A user with 1,000 or fewer loses none.")
	return c.end()
}

// life is what becomes of a notification.
func life() (string, error) {
	c := newCanvas(760, 190, "A live notification is soft-deleted by a run. Then it is restored by"+
		" undo, and lives again, or it is purged for good.")
	c.panel(10, 50, 190, 84, "live", "deleted_at IS NULL", "the application shows it")
	c.panel(300, 50, 200, 84, "soft-deleted", "deleted_at = started_at", "of the run that did it")
	c.panel(600, 50, 150, 84, "purged", "the row is gone", "for good")
	c.arrow("M202 80H296")
	c.text(249, 70, "small middle", "run")
	c.arrow("M502 92H596")
	c.text(549, 82, "small middle", "purge")
	c.text(549, 110, "small muted middle", "after 30 days")
	c.arrow("M400 136V160H105V138")
	c.text(252, 178, "small middle", "undo: restore")
	c.text(400, 34, "small muted middle", "still in your table")
	return c.end()
}

// run is the way of the data through a run.
func run() (string, error) {
	c := newCanvas(760, 400, "Function, procedure or program ask for a plan. The plan reads the live"+
		" index and the inboxes over the limit, and writes batches into a queue. Workers take a batch"+
		" each, soft-delete its notifications in your table, and add to the record of the run.")
	c.panel(10, 20, 210, 82, "1  caller", "function, procedure,", "or the program")
	c.panel(300, 20, 210, 82, "2  plan", "who is over the limit,", "and which of theirs go")
	c.panel(580, 20, 170, 82, "live index", "counts each user,", "reads no row")
	c.arrow("M222 60H296")
	c.arrow("M578 46H514")
	c.text(546, 38, "small muted middle", "count")

	c.panel(10, 150, 500, 88, "3  queue", "lists of notifications that go, in the order of the table")
	for i := range 9 {
		class := []string{"bar", "bar", "bar", "unread", "unread", "panel", "panel", "panel", "panel"}[i]
		c.box(22+float64(i)*53, 204, 46, 20, class)
	}
	c.text(75, 256, "small muted middle", "done")
	c.text(231, 256, "small muted middle", "at work")
	c.text(390, 256, "small muted middle", "free: any session may take them")
	c.arrow("M405 104V146")
	c.text(414, 130, "small muted", "writes batches")

	c.panel(10, 300, 220, 86, "4  batch", "locks rows that nobody holds,", "sets deleted_at, commits")
	c.arrow("M204 226V296")
	c.text(214, 286, "small muted", "takes one")
	c.panel(300, 300, 210, 86, "5  record of the run",
		"deleted, skipped, changed;", "the last call closes it")
	c.arrow("M232 342H296")
	c.text(264, 334, "small muted middle", "counts")
	c.panel(580, 150, 170, 236, "your table", "notifications")
	for i := range 8 {
		class := []string{"bar", "goes", "bar", "goes", "goes", "bar", "goes", "bar"}[i]
		c.box(594, 206+float64(i)*20, 142, 12, class)
	}
	c.arrow("M640 148V110")
	c.arrow("M120 388V396H665V390")
	c.text(545, 390, "small muted middle", "UPDATE")
	c.arrow("M578 200C540 200 530 80 514 80")
	c.text(546, 118, "small muted middle", "rank")
	return c.end()
}
