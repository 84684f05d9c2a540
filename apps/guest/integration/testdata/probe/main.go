// Command probe is the only program of an image without a shell: it shows what it was given.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "exit" {
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	}
	if len(os.Args) == 2 && os.Args[1] == "cat" {
		_, _ = io.Copy(os.Stdout, os.Stdin)
		return
	}
	for _, argument := range os.Args[1:] {
		fmt.Printf("<%s>\n", argument)
	}
}
