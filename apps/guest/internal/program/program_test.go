package program

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"dcompute/guest/internal/account"
	"dcompute/guest/internal/config"
)

func TestSplitCutsLikeAShellWithoutExpanding(t *testing.T) {
	for line, want := range map[string][]string{
		"":                         nil,
		"  a  b\tc\n":              {"a", "b", "c"},
		`a "b c" 'd "e' f\ g`:      {"a", "b c", `d "e`, "f g"},
		`"" ''`:                    {"", ""},
		`a"b"'c'd`:                 {"abcd"},
		`"\" \$ \n" '\'`:           {`" $ \n`, `\`},
		"$HOME *.txt `id` ~; && |": {"$HOME", "*.txt", "`id`", "~;", "&&", "|"},
		"é 'ü ö'":                  {"é", "ü ö"},
	} {
		if got, err := Split(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"open`, `'open`, `end\`} {
		if got, err := Split(line); err == nil {
			t.Errorf("%q was cut into %q", line, got)
		}
	}
}

func TestTheEnvironmentIsTheImagesUnderTheEnginesUnderTheRenters(t *testing.T) {
	got := InstanceEnviron(
		[]string{"A=image", "B=image", "C=image", "HOME=/of/image", "broken", "=nameless"},
		[]string{"A=image", "B=engine", "HOME=/root", "E=engine"},
		map[string]string{"C": "renter", "D": "with = sign"},
	)
	want := Environ{
		"PATH": DefaultPath, "A": "image", "B": "engine", "C": "renter", "D": "with = sign", "E": "engine", "HOME": "/of/image",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if env := InstanceEnviron(nil, []string{"HOME=/root"}, nil); env["HOME"] != "" {
		t.Errorf("PID 1's HOME %q got through", env["HOME"])
	}
}

func TestAVariableThatNoProcessCanHaveIsLeftOut(t *testing.T) {
	if got := (Environ{"B": "2", "A": "1", "N": "a\x00b"}).List(); !reflect.DeepEqual(got, []string{"A=1", "B=2"}) {
		t.Errorf("got %q", got)
	}
}

func TestFindExecutableSearchesThePathOfTheProgramNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	tool, data := filepath.Join(dir, "tool"), filepath.Join(dir, "data")
	for path, mode := range map[string]os.FileMode{tool: 0o755, data: 0o644} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tool", tool, "./tool"} {
		if got, err := FindExecutable(name, "/nowhere:"+dir, dir); err != nil || got != tool {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, code := range map[string]int{"": 127, "missing": 127, "/missing": 127, "sh": 127, "data": 126, dir: 126} {
		if _, err := FindExecutable(name, dir, dir); err == nil || StartExitCode(err) != code {
			t.Errorf("%q: %v, want exit code %d", name, err, code)
		}
	}
}

func TestTheMainProgramIsEntrypointWithCommandOrCmd(t *testing.T) {
	dir := t.TempDir()
	workdir := filepath.Join(dir, "made", "for it")
	for _, c := range []struct{ entry, cmd, command, want []string }{
		{nil, []string{"/bin/sh", "a"}, nil, []string{"/bin/sh", "a"}},
		{[]string{"/bin/sh"}, []string{"a"}, nil, []string{"/bin/sh", "a"}},
		{[]string{"/bin/sh"}, []string{"a"}, []string{"b", "c"}, []string{"/bin/sh", "b", "c"}},
		{[]string{"/bin/sh"}, nil, nil, []string{"/bin/sh"}},
	} {
		cfg := &config.Config{Command: c.command, Image: config.Image{Entrypoint: c.entry, Cmd: c.cmd, Workdir: workdir, User: "5"}}
		spec, err := Main(cfg, account.DatabaseAt(dir), Environ{"PATH": DefaultPath})
		if err != nil || !reflect.DeepEqual(spec.Args, c.want) || spec.Path != "/bin/sh" {
			t.Errorf("%+v: %+v, %v", c, spec, err)
		}
		if spec.Dir != workdir || spec.User.UID != 5 {
			t.Errorf("dir %q, user %+v", spec.Dir, spec.User)
		}
	}
	if _, err := Main(&config.Config{}, account.DatabaseAt(dir), Environ{}); !errors.Is(err, ErrNothingToRun) {
		t.Errorf("nothing to run: %v", err)
	}
}

func TestExitCodesOfSignalsAreThoseOfShells(t *testing.T) {
	for status, want := range map[syscall.WaitStatus]int{0: 0, 7 << 8: 7, 255 << 8: 255, 9: 137, 15: 143} {
		if got := ExitCode(status); got != want {
			t.Errorf("%#x: %d, want %d", uint32(status), got, want)
		}
	}
}
