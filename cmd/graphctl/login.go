// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
)

// loginFlags are the flags of graphctl login.
type loginFlags struct {
	remote        remoteFlags
	output        outputFlag
	user          string
	passwordStdin bool
}

func newLogin() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login HOST",
		Short: "Show credentials to a registry and keep them",
		Long: `Login asks a registry whether it takes a user's name and password, and keeps them where
docker and oras do: with the credential helper that the Docker configuration names, or
in the configuration itself, $DOCKER_CONFIG/config.json or ~/.docker/config.json. What
docker login kept, graphctl finds, too.

The password is asked for on a terminal, or read with --password-stdin. Without a user's
name it is taken for a token.`,
		Example: "  graphctl login ghcr.io -u me\n" +
			"  az acr login --expose-token -n myregistry --query accessToken -o tsv |\n" +
			"    graphctl login myregistry.azurecr.io -u 00000000-0000-0000-0000-000000000000 --password-stdin",
		Args: exactly("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.login(cmd, args[0]) },
	}
	f.remote.add(cmd)
	f.output.add(cmd)
	cmd.Flags().StringVarP(&f.user, "username", "u", "", "`NAME` of the user")
	cmd.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (f *loginFlags) login(cmd *cobra.Command, host string) error {
	if err := f.output.check(); err != nil {
		return err
	}
	password, err := f.password(cmd.InOrStdin(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	opts, err := f.remote.options()
	if err != nil {
		return err
	}
	where, err := oras.Login(cmd.Context(), host, f.user, password, opts)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("logged in to %s; the credentials are kept by %s\n", host, where)
	return f.output.print(cmd.OutOrStdout(), text, loggedIn{host, where})
}

// loggedIn is the result of graphctl login and logout.
type loggedIn struct {
	Registry string `json:"registry"`
	// Credentials says where they are kept; empty: they no longer are.
	Credentials string `json:"credentials,omitempty"`
}

// password reads the password: one line, or all that there is.
func (f *loginFlags) password(stdin io.Reader, stderr io.Writer) (string, error) {
	if f.passwordStdin {
		text, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		password := strings.TrimRight(string(text), "\r\n")
		if err == nil && password == "" {
			err = errors.New("there is no password on standard input")
		}
		return password, err
	}
	return askPassword(stdin, stderr, "write --password-stdin")
}

// askPassword asks for a password on a terminal; otherwise is what to do without one.
func askPassword(stdin io.Reader, stderr io.Writer, otherwise string) (string, error) {
	terminal, ok := stdin.(*os.File)
	if ok {
		info, err := terminal.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return "", &usageError{"there is no terminal to ask for the password; " + otherwise}
	}
	fmt.Fprint(stderr, "password: ")
	show := hideInput(terminal)
	line, err := bufio.NewReader(terminal).ReadString('\n')
	show()
	fmt.Fprintln(stderr)
	password := strings.TrimRight(line, "\r\n")
	if errors.Is(err, io.EOF) { // as of /dev/null, which looks like a terminal
		return "", &usageError{"there is no terminal to ask for the password; " + otherwise}
	}
	if err == nil && password == "" {
		err = errors.New("no password given")
	}
	return password, err
}

// hideInput turns off the echo of a terminal where the system has stty; the function
// it returns turns it on again.
func hideInput(terminal *os.File) (show func()) {
	stty := func(arg string) error {
		cmd := exec.Command("stty", arg)
		cmd.Stdin = terminal
		return cmd.Run()
	}
	if err := stty("-echo"); err != nil {
		return func() {}
	}
	return func() { _ = stty("echo") } // the terminal was there a moment ago
}

func newLogout() *cobra.Command {
	var out outputFlag
	cmd := &cobra.Command{
		Use:     "logout HOST",
		Short:   "Forget the credentials of a registry",
		Example: "  graphctl logout ghcr.io",
		Args:    exactly("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := oras.Logout(cmd.Context(), args[0]); err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), fmt.Sprintf("logged out of %s\n", args[0]), loggedIn{Registry: args[0]})
		},
	}
	out.add(cmd)
	return cmd
}
