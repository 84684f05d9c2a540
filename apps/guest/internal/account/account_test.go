package account

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func database(t *testing.T) Database {
	t.Helper()
	etc := t.TempDir()
	files := map[string]string{
		"passwd": "# comment\nroot:x:0:0:root:/root:/bin/bash\nbroken line\nana:x:1000:1001:Ana:/home/ana:/bin/zsh\nnohome:x:7:7:::\nbad:x:minus:1:::\n",
		"group":  "root:x:0:\nana:x:1001:\nvideo:x:44:root,ana\ndocker:x:99:ana\nshort:x:5\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return DatabaseAt(etc)
}

func TestResolveFollowsTheRulesOfDockersUSER(t *testing.T) {
	ana := User{Name: "ana", UID: 1000, GID: 1001, Groups: []uint32{1001, 44, 99}, Home: "/home/ana", Shell: "/bin/zsh"}
	withGroup := ana
	withGroup.GID, withGroup.Groups = 44, nil
	withNumber := withGroup
	withNumber.GID = 555
	for spec, want := range map[string]User{
		"ana": ana, "1000": ana, "ana:": ana, "ana:video": withGroup, "1000:555": withNumber,
		"":          {Name: "root", Groups: []uint32{0, 44}, Home: "/root", Shell: "/bin/bash"},
		"4242":      {Name: "4242", UID: 4242, Home: "/"},
		"4242:4343": {Name: "4242", UID: 4242, GID: 4343, Home: "/"},
		"nohome":    {Name: "nohome", UID: 7, GID: 7, Groups: []uint32{7}, Home: "/"},
	} {
		got, err := database(t).Resolve(spec)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"eve", "ana:eves", "bad", "4294967295", "-1"} {
		if got, err := database(t).Resolve(spec); err == nil {
			t.Errorf("%q: %+v", spec, got)
		}
	}
}

func TestAnImageWithoutPasswdHasARoot(t *testing.T) {
	empty := DatabaseAt(t.TempDir())
	for _, name := range []string{"", "0", "root"} {
		if user, err := empty.Resolve(name); err != nil || user.UID != 0 || user.Name != "root" {
			t.Errorf("%q: %+v, %v", name, user, err)
		}
	}
}

func TestLoginsAreForRootTheImagesUserAndNamesOfPasswd(t *testing.T) {
	users := database(t)
	for name, uid := range map[string]uint32{"root": 0, "ana": 1000, "4242": 4242} {
		if user, err := users.ResolveLogin(name, "4242:1"); err != nil || user.UID != uid {
			t.Errorf("%q: %+v, %v", name, user, err)
		}
	}
	for _, name := range []string{"", "0", "1000", "4243", "eve", "ana:video"} {
		if user, err := users.ResolveLogin(name, "4242:1"); err == nil {
			t.Errorf("%q may log in as %+v", name, user)
		}
	}
}

func TestTheShellIsOneThatExists(t *testing.T) {
	dir := t.TempDir()
	shell, plain, nologin := filepath.Join(dir, "zsh"), filepath.Join(dir, "plain"), filepath.Join(dir, "nologin")
	for path, mode := range map[string]os.FileMode{shell: 0o755, plain: 0o644, nologin: 0o755} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if got := FindShell(User{Shell: shell}); got != shell {
		t.Errorf("got %q", got)
	}
	fallback := FindShell(User{})
	for _, bad := range []string{plain, nologin, dir, filepath.Join(dir, "missing")} {
		if got := FindShell(User{Shell: bad}); got != fallback {
			t.Errorf("%s: got %q, want the fallback %q", bad, got, fallback)
		}
	}
}
