// Load for the benchmark: one program, the same work for every registry, results as one line of JSON.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	mode    = flag.String("mode", "", "requests, pull, push, images")
	base    = flag.String("base", "", "http://127.0.0.1:5000; several, comma-separated, get the streams in turn")
	method  = flag.String("method", "GET", "of requests")
	paths   = flag.String("paths", "", "file of paths, or one path")
	auth    = flag.String("auth", "", "Authorization header")
	streams = flag.Int("streams", 1, "connections")
	seconds = flag.Float64("seconds", 3, "of requests and images")
	size    = flag.Int64("size", 1<<30, "bytes of each blob pushed")
	repos   = flag.Int("repos", 1, "repositories of images")
	rate    = flag.Float64("rate", 0, "of requests and images, a second in all; 0: as many as may be")
	seed    = flag.Uint64("seed", 1, "makes content unlike that of other runs")
)

type result struct {
	Count   int64   `json:"count"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Errors  int64   `json:"errors"`
	P99     float64 `json:"p99_ms"`
	Wait    float64 `json:"wait_ms"`
	First   string  `json:"first_error,omitempty"`
	Proto   string  `json:"proto,omitempty"`
}

var (
	count, moved, failed atomic.Int64
	firstError           atomic.Value
	protocol             atomic.Value
)

func fail(err error) {
	failed.Add(1)
	firstError.CompareAndSwap(nil, err.Error())
}

func main() {
	flag.Parse()
	if *mode == "digest" {
		hash := sha256.New()
		_, _ = io.Copy(hash, content(block(), *seed, *size))
		fmt.Println("sha256:" + hex.EncodeToString(hash.Sum(nil)))
		return
	}
	works := map[string]func() []time.Duration{"requests": requests, "pull": pull, "push": push, "images": images}
	started := time.Now()
	times := works[*mode]()
	elapsed := time.Since(started) - prepared
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	out := result{Count: count.Load(), Bytes: moved.Load(), Seconds: elapsed.Seconds(), Errors: failed.Load()}
	if len(times) > 0 {
		out.P99 = float64(times[len(times)*99/100].Microseconds()) / 1000
	}
	if len(waits) > 0 {
		sort.Slice(waits, func(i, j int) bool { return waits[i] < waits[j] })
		out.Wait = float64(waits[len(waits)/2].Microseconds()) / 1000
	}
	if text, ok := firstError.Load().(string); ok {
		out.First = text
	}
	if text, ok := protocol.Load().(string); ok {
		out.Proto = text
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

// at is the server that a stream talks to.
func at(stream int) string {
	all := strings.Split(*base, ",")
	return all[stream%len(all)]
}

// waits are the times from the last byte of a pushed blob to the answer that says it is kept.
var (
	waits   []time.Duration
	waiting sync.Mutex
)

// dated remembers when the last of its bytes was taken.
type dated struct {
	io.Reader
	ended time.Time
}

func (d *dated) Read(into []byte) (int, error) {
	n, err := d.Reader.Read(into)
	if err == io.EOF && d.ended.IsZero() {
		d.ended = time.Now()
	}
	return n, err
}

// prepared is the time spent before the work proper: making content and its digests.
var prepared time.Duration

func each(work func(stream int) []time.Duration) []time.Duration {
	var all []time.Duration
	var mutex sync.Mutex
	var group sync.WaitGroup
	for stream := 0; stream < *streams; stream++ {
		group.Add(1)
		go func() {
			defer group.Done()
			times := work(stream)
			mutex.Lock()
			all = append(all, times...)
			mutex.Unlock()
		}()
	}
	group.Wait()
	return all
}

// due waits until a stream's next piece of work is due, and tells when that was: what waits behind something slow counts
// from there. Without a rate it is due now.
func due(started time.Time, stream, i int) time.Time {
	if *rate == 0 {
		return time.Now()
	}
	each := float64(*streams) / *rate
	moment := started.Add(time.Duration((float64(i) + float64(stream)/float64(*streams)) * each * float64(time.Second)))
	time.Sleep(time.Until(moment))
	return moment
}

// requests: bare connections and ready-made requests, so that the client costs little.
func requests() []time.Duration {
	list := []string{*paths}
	if text, err := os.ReadFile(*paths); err == nil {
		list = strings.Fields(string(text))
	}
	header := ""
	if *auth != "" {
		header = "Authorization: " + *auth + "\r\n"
	}
	host := strings.TrimPrefix(at(0), "http://")
	ready := make([][]byte, len(list))
	for i, path := range list {
		ready[i] = []byte(*method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: load\r\n" +
			"Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*\r\n" + header + "\r\n")
	}
	started := time.Now()
	ending := started.Add(time.Duration(*seconds * float64(time.Second)))
	return each(func(stream int) []time.Duration {
		address := strings.TrimPrefix(at(stream), "http://")
		connection, err := net.Dial("tcp", address)
		if err != nil {
			fail(err)
			return nil
		}
		defer connection.Close()
		reader := bufio.NewReaderSize(connection, 64<<10)
		var times []time.Duration
		for i := 0; time.Now().Before(ending); i++ {
			begun := due(started, stream, i)
			if _, err := connection.Write(ready[(stream*7919+i)%len(ready)]); err != nil {
				fail(err)
				return times
			}
			n, err := response(reader, *method == "HEAD")
			if err != nil {
				fail(err)
				return times
			}
			moved.Add(int64(n))
			count.Add(1)
			times = append(times, time.Since(begun))
		}
		return times
	})
}

func response(reader *bufio.Reader, head bool) (int, error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || line[9] != '2' {
		return 0, fmt.Errorf("answer: %s", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > 16 && (line[0]|32) == 'c' && bytes.EqualFold(line[:15], []byte("content-length:")) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[15:])))
		}
	}
	if head {
		return 0, nil
	}
	if length < 0 {
		return 0, fmt.Errorf("no length")
	}
	_, err = reader.Discard(length)
	return length, err
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // a certificate of the benchmark's own
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: *streams + 1,
		DisableCompression:  true,
	}}
}

// pull: whole blobs, thrown away.
func pull() []time.Duration {
	shared := client()
	return each(func(stream int) []time.Duration {
		begun := time.Now()
		answer, err := shared.Get(at(stream) + *paths)
		if err != nil {
			fail(err)
			return nil
		}
		defer answer.Body.Close()
		protocol.Store(answer.Proto)
		buffer := make([]byte, 1<<20)
		var total int64
		for {
			n, err := answer.Body.Read(buffer)
			total += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				fail(err)
				return nil
			}
		}
		if answer.StatusCode != 200 || total != answer.ContentLength {
			fail(fmt.Errorf("%s, %d bytes", answer.Status, total))
		}
		count.Add(1)
		moved.Add(total)
		return []time.Duration{time.Since(begun)}
	})
}

var block = func() []byte {
	made := make([]byte, 64<<20)
	state := uint64(88172645463325252)
	for i := 0; i < len(made); i += 8 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint64(made[i:], state)
	}
	return made
}

// content: `size` bytes that begin with a number of their own.
func content(whole []byte, number uint64, size int64) io.Reader {
	var first [8]byte
	binary.LittleEndian.PutUint64(first[:], number)
	readers := []io.Reader{bytes.NewReader(first[:])}
	for rest := size - 8; rest > 0; rest -= int64(len(whole)) {
		readers = append(readers, bytes.NewReader(whole[:min(rest, int64(len(whole)))]))
	}
	return io.MultiReader(readers...)
}

func do(shared *http.Client, verb, url string, body io.Reader, kind string, want int) (*http.Response, error) {
	request, err := http.NewRequest(verb, url, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := shared.Do(request)
	if err != nil {
		return nil, err
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s %.200s", verb, url, answer.Status, text)
	}
	protocol.Store(answer.Proto)
	return answer, nil
}

func resolve(stream int, location string) string {
	if strings.HasPrefix(location, "/") {
		return at(stream) + location
	}
	return location
}

func join(url, query string) string {
	if strings.Contains(url, "?") {
		return url + "&" + query
	}
	return url + "?" + query
}

// push: POST, PATCH without a length, PUT, as docker does.
func push() []time.Duration {
	begun := time.Now()
	whole := block()
	digests := make([]string, *streams)
	var group sync.WaitGroup
	for i := range digests {
		group.Add(1)
		go func() {
			defer group.Done()
			hash := sha256.New()
			_, _ = io.Copy(hash, content(whole, *seed+uint64(i), *size))
			digests[i] = "sha256:" + hex.EncodeToString(hash.Sum(nil))
		}()
	}
	group.Wait()
	prepared = time.Since(begun)
	shared := client()
	return each(func(stream int) []time.Duration {
		begun := time.Now()
		if err := upload(shared, whole, stream, digests[stream]); err != nil {
			fail(err)
			return nil
		}
		count.Add(1)
		moved.Add(*size)
		return []time.Duration{time.Since(begun)}
	})
}

func upload(shared *http.Client, whole []byte, stream int, digest string) error {
	answer, err := do(shared, "POST", fmt.Sprintf("%s/v2/push/r%d/blobs/uploads/", at(stream), stream), nil, "", 202)
	if err != nil {
		return err
	}
	body := &dated{Reader: content(whole, *seed+uint64(stream), *size)}
	answer, err = do(shared, "PATCH", resolve(stream, answer.Header.Get("Location")), body, "application/octet-stream", 202)
	if err != nil {
		return err
	}
	_, err = do(shared, "PUT", join(resolve(stream, answer.Header.Get("Location")), "digest="+digest), nil, "", 201)
	waiting.Lock()
	waits = append(waits, time.Since(body.ended))
	waiting.Unlock()
	return err
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// images: two layers, a config and a manifest each, none like another.
func images() []time.Duration {
	shared := client()
	started := time.Now()
	ending := started.Add(time.Duration(*seconds * float64(time.Second)))
	return each(func(stream int) []time.Duration {
		var times []time.Duration
		for i := 0; time.Now().Before(ending); i++ {
			begun := due(started, stream, i)
			if err := image(shared, stream, i); err != nil {
				fail(err)
				return times
			}
			count.Add(1)
			times = append(times, time.Since(begun))
		}
		return times
	})
}

func image(shared *http.Client, stream, i int) error {
	repository := fmt.Sprintf("%s/v2/images/r%d", at(stream), (stream+i**streams)%*repos)
	var entries [3]string
	for part, kind := range []string{configType, layerType, layerType} {
		body := []byte(fmt.Sprintf(`{"n":"%d-%d-%d-%d"}%s`, *seed, stream, i, part, strings.Repeat(" ", 1000)))
		sum := sha256.Sum256(body)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		entries[part] = fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":%d}`, kind, digest, len(body))
		answer, err := do(shared, "POST", repository+"/blobs/uploads/", nil, "", 202)
		if err != nil {
			return err
		}
		url := join(resolve(stream, answer.Header.Get("Location")), "digest="+digest)
		if _, err = do(shared, "PUT", url, bytes.NewReader(body), "application/octet-stream", 201); err != nil {
			return err
		}
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s,%s]}`,
		manifestType, entries[0], entries[1], entries[2])
	url := fmt.Sprintf("%s/manifests/t%d-%d-%d", repository, *seed, stream, i)
	_, err := do(shared, "PUT", url, strings.NewReader(manifest), manifestType, 201)
	return err
}
