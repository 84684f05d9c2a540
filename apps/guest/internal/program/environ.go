package program

import (
	"slices"
	"strings"
)

// DefaultPath is the PATH of a program whose image sets none: Docker's own default.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Environ is a set of environment variables.
type Environ map[string]string

// InstanceEnviron is what every program of an instance sees: the image's variables, over them what the engine gave to PID 1
// (the image's again, with what a GPU or the engine changed), and the renter's. The engine's HOME is that of PID 1.
func InstanceEnviron(imageEnv, engineEnv []string, renterEnv map[string]string) Environ {
	env := Environ{}
	env.addAll(engineEnv)
	delete(env, "HOME")
	for _, entry := range imageEnv {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			env.SetDefault(name, value)
		}
	}
	env.SetDefault("PATH", DefaultPath)
	for name, value := range renterEnv {
		env[name] = value
	}
	return env
}

// SetDefault sets a variable that is not set yet.
func (e Environ) SetDefault(name, value string) {
	if _, exists := e[name]; !exists {
		e[name] = value
	}
}

// List returns the variables as K=V, sorted.
func (e Environ) List() []string {
	list := make([]string, 0, len(e))
	for name, value := range e {
		// The kernel takes no NUL in a variable; one bad variable must not keep a program from starting.
		if !strings.ContainsRune(value, 0) {
			list = append(list, name+"="+value)
		}
	}
	slices.Sort(list)
	return list
}

func (e Environ) addAll(list []string) {
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e[name] = value
		}
	}
}
