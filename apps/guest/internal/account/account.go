// Package account resolves users of the image from /etc/passwd and /etc/group, without the C library.
package account

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	maxFileBytes = 4 << 20
	maxGroups    = 64
	maxID        = 1<<32 - 2
)

// User is who a program runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32
	Home   string
	// Shell is what /etc/passwd names, which may be empty or missing from the image.
	Shell string
}

// Database is the folder that holds passwd and group.
type Database struct{ etc string }

// DatabaseAt reads users and groups from etc, usually /etc.
func DatabaseAt(etc string) Database { return Database{etc: etc} }

// Resolve finds who `user[:group]` is, by the rules of Docker's USER: names or numbers; a number need not be in
// /etc/passwd; empty means root. An explicit group replaces the supplementary groups.
func (d Database) Resolve(spec string) (User, error) {
	userPart, groupPart, hasGroup := strings.Cut(spec, ":")
	if userPart == "" {
		userPart = "0"
	}
	user, err := d.Lookup(userPart)
	if err != nil {
		return User{}, err
	}
	if !hasGroup || groupPart == "" {
		return user, nil
	}
	user.GID, err = d.groupID(groupPart)
	user.Groups = nil
	return user, err
}

// ResolveLogin finds who may log in under a name: root, the image's own user (which may be a bare number), and every
// name in /etc/passwd.
func (d Database) ResolveLogin(name, imageUser string) (User, error) {
	if imageName, _, _ := strings.Cut(imageUser, ":"); name != "" && name == imageName {
		return d.Resolve(imageUser)
	}
	if _, isNumber := parseID(name); isNumber || name == "" {
		return User{}, fmt.Errorf("no user may log in as %q", name)
	}
	return d.Lookup(name)
}

// Lookup finds a user by name, or by number.
func (d Database) Lookup(nameOrID string) (User, error) {
	id, isNumber := parseID(nameOrID)
	user, found := d.find(func(u User) bool { return u.Name == nameOrID })
	if !found && isNumber {
		user, found = d.find(func(u User) bool { return u.UID == id })
	}
	switch {
	case found:
		user.Groups = d.groupsOf(user)
		return user, nil
	case isNumber && id == 0, nameOrID == "root":
		// An image without /etc/passwd has a root all the same.
		return User{Name: "root", Home: rootHome()}, nil
	case isNumber:
		return User{Name: nameOrID, UID: id, Home: "/"}, nil
	default:
		return User{}, fmt.Errorf("the image has no user %q", nameOrID)
	}
}

func rootHome() string {
	if info, err := os.Stat("/root"); err == nil && info.IsDir() {
		return "/root"
	}
	return "/"
}

func (d Database) find(matches func(User) bool) (found User, ok bool) {
	d.eachLine("passwd", func(fields []string) bool {
		if len(fields) < 7 {
			return true
		}
		uid, uidOK := parseID(fields[2])
		gid, gidOK := parseID(fields[3])
		if !uidOK || !gidOK {
			return true
		}
		user := User{Name: fields[0], UID: uid, GID: gid, Home: fields[5], Shell: fields[6]}
		if user.Home == "" {
			user.Home = "/"
		}
		if matches(user) {
			found, ok = user, true
		}
		return !ok
	})
	return found, ok
}

func (d Database) groupID(nameOrID string) (uint32, error) {
	id, ok := parseID(nameOrID)
	d.eachLine("group", func(fields []string) bool {
		if len(fields) < 3 || fields[0] != nameOrID {
			return true
		}
		id, ok = parseID(fields[2])
		return false
	})
	if !ok {
		return 0, fmt.Errorf("the image has no group %q", nameOrID)
	}
	return id, nil
}

func (d Database) groupsOf(user User) []uint32 {
	groups := []uint32{user.GID}
	d.eachLine("group", func(fields []string) bool {
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), user.Name) {
			return true
		}
		if gid, ok := parseID(fields[2]); ok && !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
		return len(groups) < maxGroups
	})
	return groups
}

// eachLine calls visit with the fields of each line until it returns false. A missing file has no lines.
func (d Database) eachLine(name string, visit func(fields []string) bool) {
	file, err := os.Open(filepath.Join(d.etc, name))
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxFileBytes))
	lines.Buffer(nil, maxFileBytes)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !visit(strings.Split(line, ":")) {
			return
		}
	}
}

func parseID(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil && id <= maxID
}
