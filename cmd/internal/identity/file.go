// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"fmt"
	"os"
)

// DefaultServiceAccountFile is where the pods of Azure IoT Operations find their
// account's token for the MQTT broker.
const DefaultServiceAccountFile = "/var/run/secrets/tokens/broker-sat"

// File has the token of a Kubernetes service account, which the kubelet projects into
// a file and replaces before it expires.
type File struct{ path string }

// ServiceAccountFile returns the file that the environment variable AIO_SAT_FILE
// names, as it does for the SDKs of Azure IoT Operations, or DefaultServiceAccountFile.
func ServiceAccountFile() File {
	if path := os.Getenv("AIO_SAT_FILE"); path != "" {
		return File{path}
	}
	return File{DefaultServiceAccountFile}
}

// Token reads the token that is there now.
func (f File) Token() (string, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("identity: read the service account's token: %w; project it there, or name another file in AIO_SAT_FILE", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) == 0 {
		return "", fmt.Errorf("identity: read the service account's token: %s is empty", f.path)
	}
	return string(token), nil
}
