package scp

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copyWith connects a sender with a receiver and returns their exit codes.
func copyWith(t *testing.T, flags string, target string, sources ...string) (sent, received int) {
	t.Helper()
	toReceiver, fromSender := io.Pipe()
	toSender, fromReceiver := io.Pipe()
	done := make(chan int, 1)
	go func() {
		code := Run([]string{flags + "t", "--", target}, toReceiver, fromReceiver)
		_ = fromReceiver.Close()
		done <- code
	}()
	sent = Run(append([]string{flags + "f", "--"}, sources...), toSender, fromSender)
	_ = fromSender.Close()
	select {
	case received = <-done:
		return sent, received
	case <-time.After(10 * time.Second):
		t.Fatal("the receiver did not end")
		return 0, 0
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestATreeArrivesWithItsModesAndTimes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tree/a"), strings.Repeat("a", 200_000), 0o600)
	write(t, filepath.Join(dir, "tree/inner/empty"), "", 0o755)
	stamp := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(filepath.Join(dir, "tree/a"), stamp, stamp); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "copy")
	if sent, received := copyWith(t, "-rp", target, filepath.Join(dir, "tree")); sent != 0 || received != 0 {
		t.Fatalf("exit codes %d, %d", sent, received)
	}
	content, err := os.ReadFile(filepath.Join(target, "a"))
	if err != nil || len(content) != 200_000 {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	info, err := os.Stat(filepath.Join(target, "a"))
	if err != nil || info.Mode().Perm() != 0o600 || !info.ModTime().Equal(stamp) {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(target, "inner/empty")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAShorterFileReplacesALongerOneWhole(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "new"), "short", 0o644)
	write(t, filepath.Join(dir, "old"), "a longer text", 0o644)
	copyWith(t, "-", filepath.Join(dir, "old"), filepath.Join(dir, "new"))
	if content, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(content) != "short" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestWhatCannotBeReadFailsAndTheRestIsCopied(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "there"), "x", 0o644)
	target := t.TempDir()
	sent, received := copyWith(t, "-", target, filepath.Join(dir, "missing"), dir, filepath.Join(dir, "there"))
	if sent == 0 || received == 0 {
		t.Errorf("exit codes %d, %d", sent, received)
	}
	if _, err := os.Stat(filepath.Join(target, "there")); err != nil {
		t.Error(err)
	}
}

func TestNoNameLeavesTheTarget(t *testing.T) {
	for _, line := range []string{
		"C0644 1 ../evil\n", "C0644 1 a/b\n", "C0644 1 ..\n", "C0644 1 \n", "D0755 0 ..\n", "C0644 -1 a\n", "C9999 1 a\n",
		"C0644 1\n", "X\n", "E\n", "T1 0 x 0\n", strings.Repeat("C", 2*maxLineBytes),
	} {
		target := t.TempDir()
		var output bytes.Buffer
		if code := Run([]string{"-rt", target}, strings.NewReader(line+"x\x00"), &output); code == 0 {
			t.Errorf("%.40q was taken", line)
		}
		if entries, err := os.ReadDir(target); err != nil || len(entries) != 0 {
			t.Errorf("%.40q left %v, %v", line, entries, err)
		}
	}
}
