package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/skel"
	v1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	nadclient "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/client/clientset/versioned"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// What Multus keeps of an attachment in the file of the container: enough for its DEL.
type delegate struct {
	Name    string                     `json:"name"`
	IfName  string                     `json:"ifnameRequest"`
	Config  json.RawMessage            `json:"Conf"`
	Element v1.NetworkSelectionElement `json:"element"`
}

type clients struct {
	pods        *kubernetes.Clientset
	definitions *nadclient.Clientset
}

func connect(path string) (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	pods, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	definitions, err := nadclient.NewForConfig(config)
	return &clients{pods, definitions}, err
}

func attachAll(conf *settings, args *podArgs, cmd *skel.CmdArgs) error {
	ctx := context.Background()
	api, err := connect(conf.Kubeconfig)
	if err != nil {
		return err
	}
	pod, err := api.pods.CoreV1().Pods(string(args.K8S_POD_NAMESPACE)).
		Get(ctx, string(args.K8S_POD_NAME), metav1.GetOptions{})
	if err != nil {
		return err
	}
	first, err := nadutils.CreateNetworkStatuses(conf.PrevResult, conf.Name, true, nil)
	if err != nil {
		return err
	}
	statuses := []v1.NetworkStatus{}
	for _, status := range first {
		statuses = append(statuses, *status)
	}
	delegates, err := api.delegatesOf(ctx, pod)
	if err != nil {
		return err
	}
	if err := save(conf, cmd.ContainerID, delegates); err != nil {
		return err
	}
	for _, one := range delegates {
		status, err := one.attach(ctx, conf, args, cmd)
		if err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		statuses = append(statuses, *status)
	}
	return nadutils.SetNetworkStatus(api.pods, pod, statuses)
}

func (api *clients) delegatesOf(ctx context.Context, pod *corev1.Pod) ([]delegate, error) {
	if pod.Annotations[v1.NetworkAttachmentAnnot] == "" {
		return nil, nil
	}
	elements, err := nadutils.ParsePodNetworkAnnotation(pod)
	if err != nil {
		return nil, err
	}
	delegates := []delegate{}
	for index, element := range elements {
		definition, err := api.definitions.K8sCniCncfIoV1().NetworkAttachmentDefinitions(element.Namespace).
			Get(ctx, element.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		config, err := nadutils.GetCNIConfig(definition, "/etc/cni/multus/net.d")
		if err != nil {
			return nil, err
		}
		name := element.InterfaceRequest
		if name == "" {
			name = fmt.Sprintf("net%d", index+1)
		}
		delegates = append(delegates, delegate{element.Namespace + "/" + element.Name, name, config, *element})
	}
	return delegates, nil
}

func save(conf *settings, container string, delegates []delegate) error {
	text, err := json.Marshal(delegates)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(conf.CNIDir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(conf.CNIDir, container), text, 0o600)
}

func (one *delegate) attach(ctx context.Context, conf *settings, args *podArgs, cmd *skel.CmdArgs) (*v1.NetworkStatus, error) {
	cni, list, runtime, err := one.call(conf, args, cmd)
	if err != nil {
		return nil, err
	}
	result, err := cni.AddNetworkList(ctx, list, runtime)
	if err != nil {
		return nil, err
	}
	return nadutils.CreateNetworkStatus(result, one.Name, false, nil)
}

// In the order of Multus, the newest first. A failure keeps the file: kubelet repeats DEL.
func detachAll(conf *settings, args *podArgs, cmd *skel.CmdArgs, delegates []delegate) error {
	for index := len(delegates) - 1; index >= 0; index-- {
		one := delegates[index]
		cni, list, runtime, err := one.call(conf, args, cmd)
		if err != nil {
			return err
		}
		if err := cni.DelNetworkList(context.Background(), list, runtime); err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
	}
	return nil
}

func (one *delegate) call(conf *settings, args *podArgs, cmd *skel.CmdArgs) (*libcni.CNIConfig, *libcni.NetworkConfigList, *libcni.RuntimeConf, error) {
	list, err := listOf(one.Config)
	if err != nil {
		return nil, nil, nil, err
	}
	runtime := &libcni.RuntimeConf{
		ContainerID:    cmd.ContainerID,
		NetNS:          cmd.Netns,
		IfName:         one.IfName,
		CapabilityArgs: map[string]interface{}{},
		Args: [][2]string{
			{"IgnoreUnknown", "true"},
			{"K8S_POD_NAMESPACE", string(args.K8S_POD_NAMESPACE)},
			{"K8S_POD_NAME", string(args.K8S_POD_NAME)},
			{"K8S_POD_INFRA_CONTAINER_ID", string(args.K8S_POD_INFRA_CONTAINER_ID)},
			{"K8S_POD_UID", string(args.K8S_POD_UID)},
		},
	}
	if mac := one.Element.MacRequest; mac != "" {
		runtime.Args = append(runtime.Args, [2]string{"MAC", mac})
		runtime.CapabilityArgs["mac"] = mac
	}
	if ips := one.Element.IPRequest; len(ips) > 0 {
		runtime.Args = append(runtime.Args, [2]string{"IP", strings.Join(ips, ",")})
		runtime.CapabilityArgs["ips"] = ips
	}
	return libcni.NewCNIConfigWithCacheDir([]string{conf.BinDir}, conf.CNIDir, nil), list, runtime, nil
}

func listOf(config []byte) (*libcni.NetworkConfigList, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(config, &raw); err != nil {
		return nil, err
	}
	if _, single := raw["type"]; !single {
		return libcni.ConfListFromBytes(config)
	}
	one, err := libcni.ConfFromBytes(config)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(one)
}
