package undo

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.AlsoLong) }
