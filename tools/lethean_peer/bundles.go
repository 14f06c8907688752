package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
)

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// makeBundle seals a configuration and files for the holder of a password.
func makeBundle(password string, config []byte, files map[string][]byte) ([]byte, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name]))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	first, err := seal(password, nil, config)
	if err != nil {
		return nil, err
	}
	second, err := seal(password, nil, archive.Bytes())
	if err != nil {
		return nil, err
	}
	header := fmt.Sprintf(
		`{"config_size":%d,"encryption_algorithm":"chacha20poly1305","rootfs_size":%d,"tim":true,"version":"1.0"}`,
		len(first), len(second))
	payload := binary.BigEndian.AppendUint32(nil, uint32(len(first)))
	return wrap("STIM", header, append(append(payload, first...), second...)), nil
}

func openBundle(password string, data []byte) (config []byte, files map[string][]byte, err error) {
	payload, err := unwrap("STIM", data)
	if err != nil {
		return nil, nil, err
	}
	if len(payload) < 4 || uint64(binary.BigEndian.Uint32(payload)) > uint64(len(payload)-4) {
		return nil, nil, errors.New("invalid stim payload")
	}
	end := 4 + int(binary.BigEndian.Uint32(payload))
	if config, err = unseal(password, payload[4:end]); err != nil {
		return nil, nil, err
	}
	archive, err := unseal(password, payload[end:])
	if err != nil {
		return nil, nil, err
	}
	files = map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return config, files, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			return nil, nil, err
		}
	}
}
