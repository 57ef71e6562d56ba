import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.eclipse.milo.opcua.sdk.server.OpcUaServer;
import org.eclipse.milo.opcua.sdk.server.api.DataItem;
import org.eclipse.milo.opcua.sdk.server.api.ManagedNamespaceWithLifecycle;
import org.eclipse.milo.opcua.sdk.server.api.MonitoredItem;
import org.eclipse.milo.opcua.sdk.server.api.config.OpcUaServerConfig;
import org.eclipse.milo.opcua.sdk.server.identity.UsernameIdentityValidator;
import org.eclipse.milo.opcua.sdk.server.nodes.UaVariableNode;
import org.eclipse.milo.opcua.sdk.server.util.SubscriptionModel;
import org.eclipse.milo.opcua.stack.core.Identifiers;
import org.eclipse.milo.opcua.stack.core.security.DefaultCertificateManager;
import org.eclipse.milo.opcua.stack.core.security.DefaultTrustListManager;
import org.eclipse.milo.opcua.stack.core.security.SecurityPolicy;
import org.eclipse.milo.opcua.stack.core.transport.TransportProfile;
import org.eclipse.milo.opcua.stack.core.types.builtin.DataValue;
import org.eclipse.milo.opcua.stack.core.types.builtin.DateTime;
import org.eclipse.milo.opcua.stack.core.types.builtin.LocalizedText;
import org.eclipse.milo.opcua.stack.core.types.builtin.StatusCode;
import org.eclipse.milo.opcua.stack.core.types.builtin.Variant;
import org.eclipse.milo.opcua.stack.core.types.enumerated.MessageSecurityMode;
import org.eclipse.milo.opcua.stack.server.EndpointConfiguration;
import org.eclipse.milo.opcua.stack.server.security.DefaultServerCertificateValidator;

/** A machine that counts, as an Eclipse Milo server. Arguments: port, folder (key.der, certificate.der, trusted/certs), period in ms. */
public class Machine extends ManagedNamespaceWithLifecycle {
    private static final SecurityPolicy[] POLICIES = {
        SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss
    };
    private final SubscriptionModel sampling;
    private UaVariableNode count;
    private long next;

    private Machine(OpcUaServer server) {
        super(server, "urn:milo:machine");
        sampling = new SubscriptionModel(server, this);
        getLifecycleManager().addLifecycle(sampling);
        getLifecycleManager().addStartupTask(this::nodes);
    }

    private void nodes() {
        count = UaVariableNode.builder(getNodeContext())
            .setNodeId(newNodeId("count")).setBrowseName(newQualifiedName("count")).setDisplayName(LocalizedText.english("count"))
            .setDataType(Identifiers.Int64).setTypeDefinition(Identifiers.BaseDataVariableType).buildAndAdd();
        step();
    }

    private void step() {
        DateTime now = DateTime.now();
        count.setValue(new DataValue(new Variant(next++), StatusCode.GOOD, now, now));
    }

    @Override public void onDataItemsCreated(List<DataItem> items) { sampling.onDataItemsCreated(items); }
    @Override public void onDataItemsModified(List<DataItem> items) { sampling.onDataItemsModified(items); }
    @Override public void onDataItemsDeleted(List<DataItem> items) { sampling.onDataItemsDeleted(items); }
    @Override public void onMonitoringModeChanged(List<MonitoredItem> items) { sampling.onMonitoringModeChanged(items); }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider()); // Java 17 alone has no RSA-PSS under the name that Milo asks for
        Path folder = Path.of(args[1]);
        X509Certificate certificate;
        try (var in = Files.newInputStream(folder.resolve("certificate.der"))) {
            certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
        var key = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(folder.resolve("key.der"))));
        var trust = new DefaultTrustListManager(new File(folder.toString()));
        Set<EndpointConfiguration> endpoints = new HashSet<>();
        var base = EndpointConfiguration.newBuilder().setTransportProfile(TransportProfile.TCP_UASC_UABINARY)
            .setBindAddress("127.0.0.1").setBindPort(Integer.parseInt(args[0])).setHostname("127.0.0.1").setCertificate(certificate)
            .addTokenPolicies(OpcUaServerConfig.USER_TOKEN_POLICY_ANONYMOUS, OpcUaServerConfig.USER_TOKEN_POLICY_USERNAME);
        for (SecurityPolicy policy : POLICIES) {
            for (MessageSecurityMode mode : new MessageSecurityMode[] {MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt}) {
                endpoints.add(base.copy().setPath("/machine").setSecurityPolicy(policy).setSecurityMode(mode).build());
            }
        }
        endpoints.add(base.copy().setPath("/machine/discovery").setSecurityPolicy(SecurityPolicy.None).setSecurityMode(MessageSecurityMode.None).build());
        var server = new OpcUaServer(OpcUaServerConfig.builder()
            .setApplicationName(LocalizedText.english("Milo")).setApplicationUri("urn:milo:server").setEndpoints(endpoints)
            .setCertificateManager(new DefaultCertificateManager(new KeyPair(certificate.getPublicKey(), key), certificate))
            .setIdentityValidator(new UsernameIdentityValidator(true, user -> user.getUsername().equals("press") && user.getPassword().equals("secret")))
            .setTrustListManager(trust).setCertificateValidator(new DefaultServerCertificateValidator(trust)).build());
        var machine = new Machine(server);
        machine.startup();
        server.startup().get();
        System.out.println("listens");
        var clock = Executors.newSingleThreadScheduledExecutor();
        long period = Long.parseLong(args[2]);
        clock.scheduleAtFixedRate(machine::step, period, period, TimeUnit.MILLISECONDS);
        while (System.in.read() >= 0) { }
        System.exit(0);
    }
}
