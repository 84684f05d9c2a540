package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnImageWithoutAShellRunsItsOwnPrograms(t *testing.T) {
	i := newInstance(t, settings{image: bareImage})
	output := i.mustSSH(`/probe one "two words" 'it''s $HOME' three\ four`)
	equal(t, "arguments", output, "<one>\n<two words>\n<its $HOME>\n<three four>\n")
	equal(t, "exit code", i.ssh("/probe exit 9").code, 9)
	equal(t, "a missing program", i.ssh("/bin/ls").code, 127)
	command := i.sshCommand(nil, "/probe cat")
	command.Stdin = bytes.NewReader(make([]byte, 5<<20))
	equal(t, "bytes through the program", len(finish(t, command).mustSucceed(t)), 5<<20)
}

func TestAnImageWithoutAShellSaysSoAtAnInteractiveLogin(t *testing.T) {
	i := newInstance(t, settings{image: bareImage})
	person := sitDown(t, i, 24, 80, nil)
	if code := person.leavesWith(); code == 0 || code == 255 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "screen", person.screen(), "This image has no shell, so an interactive login is not possible.")
}

func TestAnImageWithoutAShellTakesFilesByScpAndSftp(t *testing.T) {
	i := newInstance(t, settings{image: bareImage})
	local := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(local, []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-s", "-O"} {
		back := local + flag
		i.scp(flag, local, "instance:/stored").mustSucceed(t)
		i.scp(flag, "instance:/stored", back).mustSucceed(t)
		equal(t, flag, string(readFile(t, back)), "content\n")
	}
}

func TestAnImageWithoutAShellRunsItsEntrypoint(t *testing.T) {
	i := newInstance(t, settings{image: bareImage, runType: "args", entry: []string{"/probe"}, cmd: []string{"a", "b"}})
	equal(t, "exit code", i.awaitExit(), 0)
	equal(t, "log", strings.TrimSpace(i.logs()), "<a>\n<b>")
}
