package main

import (
	"bytes"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"net/url"
	"regexp"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	acceptHeader = "Accept: " + manifestType + ", application/vnd.oci.image.index.v1+json, " +
		"application/vnd.docker.distribution.manifest.v2+json\r\n"
	manifestHeader = "Content-Type: " + manifestType + "\r\n"
	blobHeader     = "Content-Type: application/octet-stream\r\n"
	pageEntries    = 1000
)

var next = regexp.MustCompile(`<([^>]+)>; *rel="?next"?`)

type blob struct {
	digest  string
	content []byte
}

type image struct {
	config   blob
	layer    blob
	manifest []byte
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type putter func(c *connection, repository string, b blob)

func newBlob(content []byte) blob {
	return blob{fmt.Sprintf("sha256:%x", sha256.Sum256(content)), content}
}

// newImage has content that no other image has.
func newImage(random *rand.ChaCha8, size int) image {
	content := make([]byte, size)
	_, _ = random.Read(content)
	layer := newBlob(content)
	config := newBlob(fmt.Appendf(nil,
		`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%s"]}}`,
		layer.digest))
	manifest, err := json.Marshal(document{
		SchemaVersion: 2,
		MediaType:     manifestType,
		Config:        descriptor{configType, config.digest, len(config.content)},
		Layers:        []descriptor{{layerType, layer.digest, size}},
	})
	check(err, "manifest")
	return image{config, layer, manifest}
}

func newImages(count, size int) []image {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:])
	random := rand.NewChaCha8(seed)
	images := make([]image, count)
	for i := range images {
		images[i] = newImage(random, size)
	}
	return images
}

// putBlob is the way of most clients: a session, then the whole blob with the digest.
func putBlob(c *connection, repository string, b blob) {
	session := c.expect(202, "POST", "/v2/"+repository+"/blobs/uploads/", "", nil)
	target := session.location("digest=" + url.QueryEscape(b.digest))
	c.expect(201, "PUT", target, blobHeader, b.content)
}

// patchBlob is the way of docker: a session, the blob as a stream, then the digest.
func patchBlob(c *connection, repository string, b blob) {
	session := c.expect(202, "POST", "/v2/"+repository+"/blobs/uploads/", "", nil)
	streamed := c.stream(session.location(""), b.content)
	c.expect(201, "PUT", streamed.location("digest="+url.QueryEscape(b.digest)), "", nil)
}

func putManifest(c *connection, repository, tag string, manifest []byte) {
	c.expect(201, "PUT", "/v2/"+repository+"/manifests/"+tag, manifestHeader, manifest)
}

func putImage(c *connection, repository, tag string, i image, put putter) {
	put(c, repository, i.layer)
	put(c, repository, i.config)
	putManifest(c, repository, tag, i.manifest)
}

// push is one image of two blobs and a manifest; images go into eight repositories by turns.
func push(o options, put putter) operation {
	images := newImages(o.count, o.size)
	return func(c *connection, number int) {
		repository := fmt.Sprintf("%s/r%d", o.prefix, number%8)
		putImage(c, repository, fmt.Sprintf("t%d", number), images[number], put)
	}
}

func (o options) tagged(number int) (repository, tag string) {
	return fmt.Sprintf("%s/r%d", o.prefix, number%o.entries%8), fmt.Sprintf("t%d", number%o.entries)
}

// pull is HEAD and GET of a manifest by its tag, then its config and its layer.
func pull(o options) operation {
	return func(c *connection, number int) {
		repository, tag := o.tagged(number)
		base := "/v2/" + repository
		c.expect(200, "HEAD", base+"/manifests/"+tag, acceptHeader, nil)
		var found document
		body := c.expect(200, "GET", base+"/manifests/"+tag, acceptHeader, nil).body
		check(json.Unmarshal(body, &found), "manifest")
		for _, part := range append([]descriptor{found.Config}, found.Layers...) {
			if size := c.download(base + "/blobs/" + part.Digest); size != int64(part.Size) {
				log.Fatalf("%s has %d bytes instead of %d", part.Digest, size, part.Size)
			}
		}
	}
}

func manifest(o options, method string) operation {
	return func(c *connection, number int) {
		repository, tag := o.tagged(number)
		c.expect(200, method, "/v2/"+repository+"/manifests/"+tag, acceptHeader, nil)
	}
}

// blobs is GET of a layer of one of the images, whose digest is known.
func blobs(o options) operation {
	c := dial(o)
	targets, sizes := make([]string, o.entries), make([]int64, o.entries)
	for number := range o.entries {
		repository, tag := o.tagged(number)
		base := "/v2/" + repository
		var found document
		body := c.expect(200, "GET", base+"/manifests/"+tag, acceptHeader, nil).body
		check(json.Unmarshal(body, &found), "manifest")
		targets[number] = base + "/blobs/" + found.Layers[0].Digest
		sizes[number] = int64(found.Layers[0].Size)
	}
	return func(c *connection, number int) {
		number %= o.entries
		if size := c.download(targets[number]); size != sizes[number] {
			log.Fatalf("%s has %d bytes instead of %d", targets[number], size, sizes[number])
		}
	}
}

// listTags is one page with every tag. Names are counted and not parsed: that is the client's time.
func listTags(o options) operation {
	target := fmt.Sprintf("/v2/%s/many/tags/list?n=%d", o.prefix, o.entries)
	return func(c *connection, _ int) {
		page := c.expect(200, "GET", target, "", nil)
		if names := bytes.Count(page.body, []byte(`"v`)); names != o.entries {
			log.Fatalf("%d tags instead of %d", names, o.entries)
		}
	}
}

// listCatalog is the whole catalog, page by page.
func listCatalog(o options) operation {
	return func(c *connection, _ int) {
		target, names := fmt.Sprintf("/v2/_catalog?n=%d", pageEntries), 0
		for target != "" {
			page := c.expect(200, "GET", target, "", nil)
			names += bytes.Count(page.body, []byte("/r"))
			target = ""
			if link := next.FindStringSubmatch(page.Header.Get("Link")); link != nil {
				following, err := url.Parse(link[1])
				check(err, "Link")
				target = following.RequestURI()
			}
		}
		if names != o.entries {
			log.Fatalf("%d repositories instead of %d", names, o.entries)
		}
	}
}

// makeTags gives one manifest many tags.
func makeTags(o options) operation {
	only, repository := newImages(1, 1024)[0], o.prefix+"/many"
	c := dial(o)
	putBlob(c, repository, only.layer)
	putBlob(c, repository, only.config)
	return func(c *connection, number int) {
		putManifest(c, repository, fmt.Sprintf("v%05d", number), only.manifest)
	}
}

// makeRepositories puts one image into many repositories, by mounting its blobs.
func makeRepositories(o options) operation {
	only, source := newImages(1, 1024)[0], o.prefix+"/r00000"
	c := dial(o)
	putImage(c, source, "latest", only, putBlob)
	return func(c *connection, number int) {
		repository := fmt.Sprintf("%s/r%05d", o.prefix, number)
		for _, b := range []blob{only.config, only.layer} {
			c.expect(201, "POST", fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s",
				repository, url.QueryEscape(b.digest), url.QueryEscape(source)), "", nil)
		}
		putManifest(c, repository, "latest", only.manifest)
	}
}
