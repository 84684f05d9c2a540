package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeTree lays out a folder with a large file, an empty one, an executable and a folder, and returns its path.
func makeTree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	files := map[string][]byte{
		"large": bytes.Repeat([]byte("0123456789abcde\n"), 300_000),
		"empty": nil, "with space": []byte("space\n"), "inner/deep/leaf": []byte("leaf\n"),
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "tool"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func mustBeSameTree(t *testing.T, a, b string) {
	t.Helper()
	if output, err := exec.Command("diff", "-r", a, b).CombinedOutput(); err != nil {
		t.Fatalf("the copies differ: %s", output)
	}
	info, err := os.Stat(filepath.Join(b, "tool"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("tool: mode %v, %v", info, err)
	}
}

// scp runs scp with these arguments; `instance:` stands for the instance.
func (i *instance) scp(args ...string) outcome {
	i.t.Helper()
	line := i.options("-P")
	for _, arg := range args {
		line = append(line, strings.Replace(arg, "instance:", "root@127.0.0.1:", 1))
	}
	return finish(i.t, exec.Command("scp", line...))
}

func copyThereAndBack(t *testing.T, i *instance, flags ...string) {
	t.Helper()
	tree, name := makeTree(t), strings.ReplaceAll(t.Name(), "/", "-")
	back := filepath.Join(t.TempDir(), "back")
	i.scp(append(flags, "-rp", tree, "instance:"+name)...).mustSucceed(t)
	i.scp(append(flags, "-rp", "instance:"+name, back)...).mustSucceed(t)
	mustBeSameTree(t, tree, back)
	if missing := i.scp(append(flags, "instance:no-such-file", back)...); missing.code == 0 {
		t.Error("copying a missing file succeeded")
	}
}

func TestScpCopiesTreesBothWays(t *testing.T) { copyThereAndBack(t, sharedInstance(t)) }

func TestScpOfTheOldProtocolCopiesTreesBothWays(t *testing.T) {
	copyThereAndBack(t, sharedInstance(t), "-O")
}

func TestScpOfTheOldProtocolNeedsNoScpInTheImage(t *testing.T) {
	i := newInstance(t, settings{})
	i.mustSSH("rm /usr/bin/scp")
	copyThereAndBack(t, i, "-O")
	i.mustSSH("mkdir many && touch many/a.txt many/b.txt")
	into := t.TempDir()
	i.scp("-O", "instance:many/*.txt", into).mustSucceed(t)
	entries, err := os.ReadDir(into)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "files that the shell expanded", len(entries), 2)
}

func TestSftpServesItsCommands(t *testing.T) {
	i := newInstance(t, settings{user: "1234:4321"})
	batch := i.path("batch")
	local := i.path("local")
	if err := os.WriteFile(local, []byte("by sftp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := fmt.Sprintf("pwd\nmkdir /tmp/made\nput %s /tmp/made/first\nrename /tmp/made/first /tmp/made/second\n"+
		"ln -s second /tmp/made/link\nchmod 640 /tmp/made/second\nls -l /tmp/made\nget /tmp/made/link %s.back\n", local, local)
	if err := os.WriteFile(batch, []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	line := append(i.options("-P"), "-b", batch, "1234@127.0.0.1")
	finish(t, exec.Command("sftp", line...)).mustSucceed(t)
	equal(t, "content", string(readFile(t, local+".back")), "by sftp\n")
	equal(t, "owner and mode", i.mustSSH("stat -c '%u:%g %a' /tmp/made/second"), "1234:4321 640\n")
}

func TestRsyncCopiesTreesBothWays(t *testing.T) {
	i := sharedInstance(t)
	tree, back := makeTree(t), filepath.Join(t.TempDir(), "back")
	shell := "ssh " + strings.Join(i.options("-p"), " ")
	for _, pair := range [][2]string{{tree + "/", "root@127.0.0.1:rsynced"}, {"root@127.0.0.1:rsynced/", back}} {
		finish(t, exec.Command("rsync", "-a", "-e", shell, pair[0], pair[1])).mustSucceed(t)
	}
	mustBeSameTree(t, tree, back)
}
